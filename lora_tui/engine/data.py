"""Rows made ready: read, laid out, rendered, masked, split; and what became of each."""

import math
import random
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.scoring import Task, load_task
from lora_tui.engine.formats import BadRow, Layout, Message, Row, detect
from lora_tui.engine.masking import (
    Example,
    Rendered,
    encode,
    encode_marked,
    encode_text,
    render,
)
from lora_tui.engine.sources import Source, open_source
from lora_tui.engine.templates import ChatTemplate

MOST_HELD_OUT = 512
LEAST_HELD_OUT = 32
"""Enough to measure a loss to a few hundredths, and to a few thousandths; more only costs time."""

_BATCH = 512

Numbered = tuple[int, Row]


@dataclass(slots=True)
class Part:
    """The training rows, or the held-out ones, with the count of what was left out."""

    source: Sequence[Row]
    examples: list[Example] = field(default_factory=list)
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    dropped: Counter[str] = field(default_factory=Counter)
    read: int = 0

    @property
    def rows(self) -> Sequence[Row]:
        """The row behind each example, read when asked for."""
        return _Selection(self.source, self.numbers)


@dataclass(frozen=True, slots=True)
class Data:
    """What a run trains and measures on."""

    train: Part
    held_out: Part
    layout: Layout
    template: ChatTemplate
    task: Task | None
    max_steps: int
    report: dict[str, Any]


def prepare(preset: Preset, tokenizer: Any) -> Data:
    """Everything a run learns from and is measured on.

    Raises:
        LoraTuiError: the rows cannot be read, fit no format, or none can be trained on.
    """
    source = open_source(preset.data)
    layout = detect(source.columns, preset.data)
    template = ChatTemplate(tokenizer)
    reader = _Reader(preset, layout, template)
    train_rows, held_out_rows = _split(source, preset)
    held_out = reader.read(held_out_rows, None)
    train = reader.read(train_rows, rows_needed(preset))
    train.dropped.update(source.broken)
    if not train.examples:
        raise _nothing_left(source, train)
    steps = planned_steps(preset, len(train.examples))
    task = _task(source)
    report = _report(source, layout, train, held_out, steps)
    return Data(train, held_out, layout, template, task, steps, report)


def _split(source: Source, preset: Preset) -> tuple[Sequence[Row], Sequence[Row]]:
    """Training rows and held-out rows; drawn by the seed, not taken from the head of the file."""
    total, needed = len(source.rows), rows_needed(preset)
    order = list(range(total))
    random.Random(preset.training.seed).shuffle(order)
    if source.held_out is not None:
        sees_all = needed is None or needed >= total
        rows = source.rows if sees_all else _Selection(source.rows, order)
        return rows, source.held_out[:MOST_HELD_OUT]
    share = held_out_share(preset, total)
    return _Selection(source.rows, order[share:]), _Selection(source.rows, order[:share])


def held_out_share(preset: Preset, total: int) -> int:
    """How many of `total` rows are held out.

    The preset's share of the rows the run will see: measuring must not take longer than training.
    """
    fraction, needed = preset.data.eval_fraction, rows_needed(preset)
    if not fraction:
        return 0
    whole = max(round(total * fraction), 1 if total >= 20 else 0)
    if needed is None:
        return min(whole, MOST_HELD_OUT)
    of_seen = max(round(needed * fraction / (1 - fraction)), LEAST_HELD_OUT)
    return min(whole, of_seen, MOST_HELD_OUT)


def _task(source: Source) -> Task | None:
    """What the answers are scored by, where the folder says so.

    Raises:
        LoraTuiError: its task.toml is none, or a held-out row lacks the fact to look for.
    """
    if source.task_folder is None:
        return None
    try:
        task = load_task(source.task_folder)
    except (OSError, ValueError) as error:
        raise LoraTuiError(
            f"The scoring of {source.name} cannot be read: {error}.",
            "Correct task.toml, or take it away: without it only the loss is measured.",
        ) from error
    if not all(isinstance(row.get("fact"), str) for row in source.held_out or ()):
        raise LoraTuiError(
            f"A row of test.* in {source.name} has no `fact`, which task.toml scores by.",
            "Add it to each row, or take task.toml away.",
        )
    return task


class _Selection(Sequence[Row]):
    """Rows picked by index and read only when asked for: a Hub set may have millions."""

    def __init__(self, rows: Sequence[Row], indices: Sequence[int]) -> None:
        self._rows, self._indices = rows, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._rows[number] for number in self._indices[index]]
        return self._rows[self._indices[index]]


def rows_needed(preset: Preset) -> int | None:
    """How many rows `max_steps` steps look at; None when epochs decide."""
    training = preset.training
    if training.max_steps < 0:
        return None
    return (
        training.max_steps
        * training.per_device_train_batch_size
        * training.gradient_accumulation_steps
    )


def planned_steps(preset: Preset, examples: int) -> int:
    """The number of steps the run will take, by the trainer's own rule."""
    training = preset.training
    if training.max_steps > 0:
        return training.max_steps
    batches = math.ceil(examples / training.per_device_train_batch_size)
    return math.ceil(
        training.num_train_epochs * math.ceil(batches / training.gradient_accumulation_steps)
    )


class _Reader:
    """Turns rows into examples, a batch at a time, and counts what it leaves out."""

    def __init__(self, preset: Preset, layout: Layout, template: ChatTemplate) -> None:
        self._longest = preset.model.max_seq_length
        self._train_on = preset.data.train_on
        self._layout, self._template = layout, template

    def read(self, rows: Sequence[Row], needed: int | None) -> Part:
        """Examples from `rows`, in order, until `needed` are found."""
        part = Part(rows)
        while part.read < len(rows):
            wanted = _BATCH if needed is None else min(_BATCH, needed - len(part.examples))
            if wanted <= 0:
                break
            batch = list(enumerate(rows[part.read : part.read + wanted], part.read))
            part.read += len(batch)
            for number, example in self._examples(batch, part.dropped):
                part.examples.append(example)
                part.numbers.append(number)
        return part

    def _examples(
        self, rows: Sequence[Numbered], dropped: Counter[str]
    ) -> Iterator[tuple[int, Example]]:
        for number, example in self._encoded(rows, dropped):
            if example.trained:
                yield number, example
            else:
                cut = f"its answer begins after model.max_seq_length = {self._longest}"
                dropped[cut if example.truncated else "no token to train"] += 1

    def _encoded(
        self, rows: Sequence[Numbered], dropped: Counter[str]
    ) -> Iterator[tuple[int, Example]]:
        texts: list[tuple[int, str]] = []
        rendered: list[tuple[int, Rendered]] = []
        for number, row in rows:
            try:
                content = self._layout.read(row)
                if isinstance(content, str):
                    texts.append((number, content))
                elif self._template.has_markers:
                    yield number, self._marked(content)
                else:
                    rendered += [(number, item) for item in render(self._template, content)]
            except BadRow as reason:
                dropped[str(reason)] += 1
        tokenizer = self._template.tokenizer
        if texts:
            examples = encode_text(tokenizer, [text for _, text in texts], self._longest)
            yield from zip((number for number, _ in texts), examples, strict=True)
        if rendered:
            examples = encode(
                tokenizer, [item for _, item in rendered], self._longest, train_on=self._train_on
            )
            yield from zip((number for number, _ in rendered), examples, strict=True)

    def _marked(self, messages: list[Message]) -> Example:
        return encode_marked(self._template, messages, self._longest, train_on=self._train_on)


def prompt_of(data: Data, row: Row) -> tuple[str, list[int]] | None:
    """A row's question as a person reads it, and as token ids that end where the answer begins."""
    content = data.layout.read(row)
    if isinstance(content, str):
        return None
    messages = data.template.fitted(content)[:-1]
    if not messages:  # it opens with an answer: there is nothing to ask
        return None
    text = data.template.render(messages, prompt=True)
    ids = data.template.tokenizer(text, add_special_tokens=False)["input_ids"]
    return messages[-1]["content"], list(ids)


def _nothing_left(source: Source, train: Part) -> LoraTuiError:
    reasons = ", ".join(f"{reason} ({count})" for reason, count in (+train.dropped).items())
    return LoraTuiError(
        f"No row of {source.name} can be trained on"
        + (f": {reasons}." if reasons else ": it is empty."),
        "Check data.source, data.format, data.columns and model.max_seq_length.",
    )


def _report(
    source: Source, layout: Layout, train: Part, held_out: Part, steps: int
) -> dict[str, Any]:
    """The `data` event: what was found, what is used, what was left out and why."""
    tokens = sum(len(example.input_ids) for example in train.examples)
    trained = sum(example.trained for example in train.examples)
    dropped = +(train.dropped + held_out.dropped)
    extra = len(source.held_out or ()) if source.held_out is not None else 0
    return {
        "source": source.name,
        "format": layout.format,
        "columns": dict(layout.columns),
        "fingerprint": source.fingerprint,
        "rows": len(source.rows) + sum(source.broken.values()) + extra,
        "read": train.read + held_out.read + sum(source.broken.values()),
        "kept": len(train.examples) + len(held_out.examples),
        "train_rows": len(train.examples),
        "eval_rows": len(held_out.examples),
        "dropped": dict(dropped),
        "broken": [str(place) for place in source.named],
        "truncated": sum(example.truncated for example in train.examples),
        "tokens": tokens,
        "longest": max(len(example.input_ids) for example in train.examples),
        "trained_share": trained / tokens,
        "max_steps": steps,
    }
