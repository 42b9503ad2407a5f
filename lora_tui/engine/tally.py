"""What is in a data set: counted row by row in a few dozen bytes each, then added up."""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

from lora_tui.engine.reading import Content, Left, Made

NAMED = 100
"""How many rows are named for each thing found; all are counted."""

_BARS = 240
_PERCENTS = (50, 90, 99)


@dataclass(slots=True)
class Found:
    """Something odd: how many rows have it, and the first of their numbers."""

    count: int = 0
    numbers: list[int] = field(default_factory=list)

    def add(self, number: int) -> bool:
        """Count one row more; whether it is named."""
        self.count += 1
        if is_named := len(self.numbers) < NAMED:
            self.numbers.append(number)
        return is_named


class Tally:
    """Folds rows into figures; holds no text and no tokens."""

    def __init__(self, tokenizer: Any) -> None:
        """Know which tokens are special."""
        special = [str(token) for token in tokenizer.all_special_tokens]
        self._special_ids = frozenset(tokenizer.all_special_ids)
        longest_first = sorted(map(re.escape, special), key=len, reverse=True)
        self._special = re.compile("|".join(longest_first)) if special else None
        self.numbers = array("q")
        self.lengths = array(
            "i"
        )  # of every row that has tokens, also of those left out as too long
        self.kept, self.trained, self.lost = array("i"), array("i"), array("i")
        self.texts, self.prompts = array("q"), array("q")
        self.left: dict[str, Found] = {}
        self.special_tokens: dict[str, Found] = {}
        self.truncated, self.damaged, self.unended = Found(), Found(), Found()
        self.talks: Counter[str] = Counter()

    def add(self, item: Made | Left) -> bool:
        """Count one row; whether it is one of those that are named."""
        if isinstance(item, Left):
            if item.length:
                self.lengths.append(item.length)
            return self.left.setdefault(item.reason, Found()).add(item.number)
        example, rendered = item.example, item.rendered
        self.numbers.append(item.number)
        self.lengths.append(example.length)
        self.kept.append(len(example.input_ids))
        self.trained.append(example.trained)
        self.lost.append(example.lost)
        text = rendered.text
        self.texts.append(hash(text))
        asked = text if rendered.is_plain else text[: rendered.spans[-1][0]]
        self.prompts.append(hash(asked))
        found = [*self._in_text(item.content)]
        if example.truncated:
            found.append(self.truncated)
        if not example.ends_in(self._special_ids):
            found.append(self.unended)
        return sum(one.add(item.number) for one in found) > 0

    def _in_text(self, content: Content) -> Iterator[Found]:
        """What is odd in the text as it came."""
        if isinstance(content, str):
            said = content
        else:
            said = "\0".join(message["content"] for message in content)
            roles = [message["role"] for message in content]
            self.talks["system"] += "system" in roles
            self.talks["tool"] += "tool" in roles or any("tool_calls" in one for one in content)
            self.talks["several_answers"] += roles.count("assistant") > 1
        if self._special and self._special.search(said):
            for token in dict.fromkeys(self._special.findall(said)):
                yield self.special_tokens.setdefault(token, Found())
        if "\ufffd" in said:
            yield self.damaged

    # --- adding up -----------------------------------------------------------------------------

    def duplicates(self) -> Found:
        """Rows whose whole text came before."""
        _, first = numpy.unique(numpy.asarray(self.texts), return_index=True)
        again = numpy.ones(len(self.texts), dtype=bool)
        again[first] = False
        return self._found(again)

    def overlap(self, held_out: frozenset[int]) -> Found:
        """Held-out rows that ask what a training row asks."""
        is_held_out = numpy.fromiter((n in held_out for n in self.numbers), bool, len(self.numbers))
        prompts = numpy.asarray(self.prompts)
        return self._found(is_held_out & numpy.isin(prompts, prompts[~is_held_out]))

    def _found(self, flags: Any) -> Found:
        numbers = numpy.asarray(self.numbers)[flags]
        return Found(len(numbers), [int(number) for number in numbers[:NAMED]])

    def padding_share(self, size: int, seed: int, held_out: frozenset[int]) -> float:
        """The share of padding when training rows come in random batches of `size`."""
        lengths = numpy.asarray(
            [n for n, at in zip(self.kept, self.numbers, strict=True) if at not in held_out]
        )
        full = len(lengths) // size * size
        if size == 1 or not full:
            return 0.0
        numpy.random.default_rng(seed).shuffle(lengths)
        batches = lengths[:full].reshape(-1, size)
        return float(1 - batches.sum() / (batches.max(axis=1).sum() * size))


def spread(values: Sequence[int]) -> dict[str, int]:
    """p50, p90, p99 (the smallest value that so many percent do not exceed) and the maximum."""
    if not values:
        return dict.fromkeys([*(f"p{percent}" for percent in _PERCENTS), "max"], 0)
    ordered = numpy.sort(numpy.asarray(values))
    ranks = {f"p{percent}": -(-percent * len(ordered) // 100) - 1 for percent in _PERCENTS}
    return {name: int(ordered[rank]) for name, rank in ranks.items()} | {"max": int(ordered[-1])}


def histogram(lengths: Sequence[int], cut: int) -> dict[str, Any]:
    """How many rows have which length: `counts[i]` from `i * width` tokens on, `above` beyond.

    It reaches a little beyond p99 and, where that is near, beyond the cut.
    """
    if not lengths:
        return {"width": 1, "counts": [], "above": 0}
    values = numpy.asarray(lengths)
    p99 = spread(lengths)["p99"]
    reach = min(int(values.max()), max(p99 * 5 // 4, min(cut, p99 * 3)))
    width = max(1, -(-(reach + 1) // _BARS))
    bars = numpy.minimum(values // width, reach // width + 1)
    counts = numpy.bincount(bars, minlength=reach // width + 2)
    return {"width": width, "counts": counts[:-1].tolist(), "above": int(counts[-1])}
