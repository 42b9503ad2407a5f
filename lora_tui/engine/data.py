"""Rows made ready: read, laid out, rendered, masked, split; and what became of each."""

import random
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from lora_tui.core.consequences import planned_steps, rows_a_step
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.scoring import Task, load_task
from lora_tui.engine import kept
from lora_tui.engine.formats import Message, Row, Shapes
from lora_tui.engine.masking import Example
from lora_tui.engine.reading import Left, Reader
from lora_tui.engine.sources import Source, open_source
from lora_tui.engine.templates import ChatTemplate

MOST_HELD_OUT = 512
LEAST_HELD_OUT = 32
"""Enough to measure a loss to a few hundredths, and to a few thousandths; more only costs time."""


@dataclass(slots=True)
class Part:
    """The training rows, or the held-out ones, with the count of what was left out."""

    source: Sequence[Row]
    needed: int | None = None
    examples: list[Example] = field(default_factory=list)
    numbers: "array[int]" = field(default_factory=lambda: array("q"))
    dropped: Counter[str] = field(default_factory=Counter)
    read: int = 0

    @property
    def rows(self) -> Sequence[Row]:
        """The row behind each example, read when asked for."""
        return Selection(self.source, self.numbers)

    @property
    def most(self) -> int:
        """How many rows are read, if none is left out."""
        return len(self.source) if self.needed is None else min(self.needed, len(self.source))

    @property
    def share_read(self) -> float:
        """The share of its rows that were looked at: the trainer's epoch is over these alone."""
        return self.read / len(self.source)


@dataclass(frozen=True, slots=True)
class Data:
    """What a run trains and measures on."""

    train: Part
    held_out: Part
    shapes: Shapes
    template: ChatTemplate
    task: Task | None
    max_steps: int
    report: dict[str, Any]
    stages: tuple[int, ...] = ()
    """How many of the training rows each ancestor of a branch took, the first one first."""


def prepare(preset: Preset, tokenizer: Any, ancestors: Sequence[Preset] = ()) -> Data:
    """Everything a run learns from and is measured on.

    A branch takes the rows that its `ancestors` took, the first of them first, and holds out the
    same ones: with more steps it takes more rows, but never one that was held out.

    Raises:
        LoraTuiError: the rows cannot be read, fit no format, or none can be trained on.
    """
    source = open_source(preset.data)
    shapes = Shapes(source.columns, preset.data)
    template = ChatTemplate(tokenizer)
    reader = Reader(preset, shapes, template)
    line = (*ancestors, preset)
    train_rows, held_out_rows = split(source, line[0])
    needed = [rows_needed(one) for one in line]
    most = None if None in needed else max(filter(None, needed))
    held_out, train = Part(held_out_rows), Part(train_rows, most)
    _fill((held_out, train), preset, source, reader)
    train.dropped.update(source.broken)
    if not train.examples:
        raise _nothing_left(source, train)
    steps = planned_steps(preset, len(train.examples))
    task = task_of(source)
    report = _report(source, shapes, train, held_out, steps)
    stages = tuple(number for number in needed[:-1] if number is not None)
    return Data(train, held_out, shapes, template, task, steps, report, stages)


def _fill(parts: Sequence[Part], preset: Preset, source: Source, reader: Reader) -> None:
    """Read each part, or recall all where the same rows were read before."""
    template = reader.template
    is_kept = sum(part.most for part in parts) >= kept.LEAST_ROWS
    place = kept.place_of(preset, source, template, parts) if is_kept else None
    if place and kept.recall(place, parts, template):
        return
    for part in parts:
        _read(part, reader)
    if place:
        kept.keep(place, parts, template)


def read_part(reader: Reader, rows: Sequence[Row], needed: int | None) -> Part:
    """Examples from `rows`, in order, until `needed` are found."""
    part = Part(rows, needed)
    _read(part, reader)
    return part


def _read(part: Part, reader: Reader) -> None:
    """Read until a part has what it needs; hardly more rows are looked at than that takes."""
    coming, needed, before = enumerate(part.source), part.needed, -1
    while part.read > before:
        before = part.read
        missing = None if needed is None else needed - len(part.examples)
        for item in reader.read(islice(coming, missing)):
            if needed is not None and len(part.examples) >= needed:
                break
            part.read = item.number + 1
            if isinstance(item, Left):
                part.dropped[item.reason] += 1
            else:
                part.examples.append(item.example)
                part.numbers.append(item.number)


def split(source: Source, preset: Preset) -> tuple[Sequence[Row], Sequence[Row]]:
    """Training rows and held-out rows."""
    train, held_out = split_numbers(source, preset)
    if source.held_out is not None:
        return Selection(source.rows, train), source.held_out[:MOST_HELD_OUT]
    return Selection(source.rows, train), Selection(source.rows, held_out)


def split_numbers(source: Source, preset: Preset) -> tuple[Sequence[int], Sequence[int]]:
    """The numbers of the training rows, and of those held out of the same files.

    Drawn by the seed, not taken from the head of the file. Held-out rows are each once and never
    trained on, whatever their source's weight.
    """
    total, needed = len(source.rows), rows_needed(preset)
    draw = random.Random(preset.training.seed)
    order = list(range(total))
    draw.shuffle(order)
    share = held_out_share(preset, total) if source.held_out is None else 0
    train: Sequence[int] = order[share:]
    if any(origin.weight != 1 for origin in source.origins):
        train = _weighted(source, train, draw)
    elif source.held_out is not None and (needed is None or needed >= total):
        train = range(total)
    return train, order[:share]


def _weighted(source: Source, numbers: Sequence[int], draw: random.Random) -> list[int]:
    """The numbers of each source as often as its weight says, in a random order."""
    found: list[int] = []
    for origin in source.origins:
        own = [number for number in numbers if 0 <= number - origin.first < origin.rows]
        whole, part = divmod(origin.weight, 1)
        found += own * int(whole) + own[: round(part * len(own))]
    draw.shuffle(found)
    return found


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


def task_of(source: Source) -> Task | None:
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


class Selection(Sequence[Row]):
    """Rows picked by index and read only when asked for: a Hub set may have millions."""

    def __init__(self, rows: Sequence[Row], indices: Sequence[int]) -> None:
        self._rows, self.indices = rows, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._rows[number] for number in self.indices[index]]
        return self._rows[self.indices[index]]


def rows_needed(preset: Preset) -> int | None:
    """How many rows `max_steps` steps look at; None when epochs decide."""
    training = preset.training
    if training.max_steps < 0:
        return None
    return training.max_steps * rows_a_step(preset)


def prompt_of(data: Data, row: Row) -> tuple[str, list[int]] | None:
    """A row's question as a person reads it, and as token ids that end where the answer begins."""
    messages = question_of(data.shapes, data.template, row)
    return (messages[-1]["content"], prompt_ids(data.template, messages)) if messages else None


def question_of(shapes: Shapes, template: ChatTemplate, row: Row) -> list[Message] | None:
    """A row's conversation up to its last answer; None where nothing is asked."""
    content = shapes.read(row)
    return None if isinstance(content, str) else template.fitted(content)[:-1] or None


def prompt_ids(template: ChatTemplate, messages: Sequence[Message]) -> list[int]:
    """A conversation as token ids that end where the answer begins."""
    text = template.render(messages, prompt=True)
    return list(template.tokenizer(text, add_special_tokens=False)["input_ids"])


def _nothing_left(source: Source, train: Part) -> LoraTuiError:
    if not train.source:
        return LoraTuiError(
            f"Nothing of {source.name} is left to train on: its weights are too small.",
            "Raise data.weights.",
        )
    reasons = ", ".join(f"{reason} ({count})" for reason, count in (+train.dropped).items())
    return LoraTuiError(
        f"No row of {source.name} can be trained on"
        + (f": {reasons}." if reasons else ": it is empty."),
        "Check data.source, data.format, data.columns and model.max_seq_length.",
    )


def _report(
    source: Source, shapes: Shapes, train: Part, held_out: Part, steps: int
) -> dict[str, Any]:
    """The `data` event: what was found, what is used, what was left out and why."""
    tokens = sum(len(example.input_ids) for example in train.examples)
    trained = sum(example.trained for example in train.examples)
    dropped = +(train.dropped + held_out.dropped)
    extra = len(source.held_out or ()) if source.held_out is not None else 0
    return {
        "source": source.name,
        "format": shapes.main.format,
        "columns": dict(shapes.main.columns),
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
