"""What is in a data set: counted row by row in a few dozen bytes each, then added up."""

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy

from lora_tui.core.presets import Preset
from lora_tui.engine import data
from lora_tui.engine.reading import Content, Left, Made
from lora_tui.engine.sources import Source

NAMED = 100
"""How many rows are named for each thing found; all are counted."""

_BARS = 240
_PERCENTS = (50, 90, 99)


@dataclass(slots=True)
class Found:
    """Something odd: how many rows have it, and the first of their numbers."""

    count: int = 0
    numbers: list[int] = field(default_factory=list)
    last: int = -1

    def add(self, number: int) -> bool:
        """Count one row more, whose number is not below the last; whether it is named."""
        if number == self.last:  # a row that became several examples
            return False
        self.last = number
        self.count += 1
        if is_named := len(self.numbers) < NAMED:
            self.numbers.append(number)
        return is_named


@dataclass(frozen=True, slots=True)
class Uses:
    """What a run uses each row for: how often it is trained on, and whether it is held out."""

    times: Any
    held_out: Any

    @classmethod
    def of(cls, source: Source, preset: Preset) -> Self:
        """The split that a run of `preset` makes."""
        train, apart = data.split_numbers(source, preset)
        own, extra = len(source.rows), len(source.held_out or ())
        times = numpy.bincount(numpy.asarray(train, dtype=numpy.int64), minlength=own + extra)
        held_out = numpy.zeros(own + extra, dtype=bool)
        held_out[numpy.asarray(apart, dtype=numpy.int64)] = True
        held_out[own : own + data.MOST_HELD_OUT] = True
        return cls(times, held_out)

    def word(self, number: int) -> str:
        """The use of one row."""
        if self.held_out[number]:
            return "held out"
        return "to train" if self.times[number] else "not used"

    def counted(self, numbers: Sequence[int]) -> tuple[int, int]:
        """How many rows a run trains on, each as often as its weight says, and holds out."""
        kept = numpy.unique(numpy.asarray(numbers, dtype=numpy.int64))
        return int(self.times[kept].sum()), int(self.held_out[kept].sum())

    def unused(self, numbers: Sequence[int]) -> int:
        """How many of the rows are for nothing."""
        kept = numpy.unique(numpy.asarray(numbers, dtype=numpy.int64))
        return int((~self.held_out[kept] & (self.times[kept] == 0)).sum())


class Tally:
    """Folds rows into figures; holds no text and no tokens."""

    def __init__(self, tokenizer: Any) -> None:
        """Know which tokens are special."""
        special = [str(token) for token in tokenizer.all_special_tokens]
        self._special_ids = frozenset(tokenizer.all_special_ids)
        longest_first = sorted(map(re.escape, special), key=len, reverse=True)
        self._special = re.compile("|".join(longest_first)) if special else None
        self.numbers = array("q")
        # Of every row that has tokens, also of those left out as too long.
        self.lengths = array("i")
        self.kept, self.trained, self.lost = array("i"), array("i"), array("i")
        self.texts, self.prompts = array("q"), array("q")
        self.left: dict[str, Found] = {}
        self.special_tokens: dict[str, Found] = {}
        self.truncated, self.damaged, self.unended = Found(), Found(), Found()
        self.rows = 0
        self.talks: Counter[str] = Counter()

    def add(self, item: Made | Left) -> bool:
        """Count one row; whether it is one of those that are named."""
        if isinstance(item, Left):
            if item.length:
                self.lengths.append(item.length)
            return self.left.setdefault(item.reason, Found()).add(item.number)
        example = item.example
        is_another = not self.numbers or self.numbers[-1] != item.number
        self.rows += is_another
        self.numbers.append(item.number)
        self.lengths.append(example.length)
        self.kept.append(len(example.input_ids))
        self.trained.append(example.trained)
        self.lost.append(example.lost)
        self.texts.append(hash(item.rendered.text))
        self.prompts.append(hash(_asked(item.content)))
        found = [*self._in_text(item.content)] if is_another else []
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

    def overlap(self, uses: Uses) -> Found:
        """Held-out rows that ask what a training row asks."""
        numbers, prompts = numpy.asarray(self.numbers), numpy.asarray(self.prompts)
        if not len(numbers):
            return Found()
        is_trained = uses.times[numbers] > 0
        return self._found(uses.held_out[numbers] & numpy.isin(prompts, prompts[is_trained]))

    def _found(self, flags: Any) -> Found:
        numbers = numpy.unique(numpy.asarray(self.numbers)[flags])
        return Found(len(numbers), [int(number) for number in numbers[:NAMED]])

    def padding_share(self, size: int, seed: int, uses: Uses) -> float:
        """The share of padding, 0 to 1, in random batches of `size` training rows."""
        if size == 1 or not self.numbers:
            return 0.0
        is_trained = uses.times[numpy.asarray(self.numbers)] > 0
        lengths = numpy.asarray(self.kept)[is_trained]
        full = len(lengths) // size * size
        if not full:
            return 0.0
        numpy.random.default_rng(seed).shuffle(lengths)
        batches = lengths[:full].reshape(-1, size)
        return float(1 - batches.sum() / (batches.max(axis=1).sum() * size))


def _asked(content: Content) -> str:
    """What a row asks: all before its last answer; of a text, the text."""
    if isinstance(content, str):
        return content
    return "\0".join(message["content"] for message in content[:-1])


def spread(values: Sequence[int]) -> dict[str, int]:
    """p50, p90, p99 (the smallest value that so many percent do not exceed) and the maximum."""
    if not values:
        return dict.fromkeys([*(f"p{percent}" for percent in _PERCENTS), "max"], 0)
    ordered = numpy.sort(numpy.asarray(values))
    ranks = {f"p{percent}": -(-percent * len(ordered) // 100) - 1 for percent in _PERCENTS}
    return {name: int(ordered[rank]) for name, rank in ranks.items()} | {"max": int(ordered[-1])}


def histogram(lengths: Sequence[int], cut: int) -> dict[str, Any]:
    """How many rows have which length in tokens: `counts[i]` from `i * width` on, `above` beyond.

    It reaches a little beyond p99 and, where that is near, beyond `cut`, where rows are cut.
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
