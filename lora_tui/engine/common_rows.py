"""Held-out rows on which none of several runs trained."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import whole
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.scoring import Task
from lora_tui.core.summary import read_snapshot
from lora_tui.engine import data
from lora_tui.engine.formats import BadRow, Message, Row, Shapes
from lora_tui.engine.masking import Example
from lora_tui.engine.reading import Reader
from lora_tui.engine.sources import open_source
from lora_tui.engine.templates import ChatTemplate


@dataclass(frozen=True, slots=True)
class Trained:
    """The rows a run trained on: by its preset, and how many it read until it had enough."""

    preset: Preset
    read: int | None = None
    fingerprint: str | None = None

    @classmethod
    def of(cls, run: Run, preset: Preset) -> Self:
        """As the run's `data` event tells it; where it does not, all training rows."""
        said = read_snapshot(run).facts.get("data", {})
        return cls(preset, whole(said.get("read")), said.get("fingerprint"))

    def keys(self) -> tuple[set[bytes], bool]:
        """What identifies each of the rows, and whether the data is still what it was.

        Where it changed, nobody knows which rows were held out: all count as trained on.

        Raises:
            LoraTuiError: its data cannot be read.
        """
        source = open_source(self.preset.data)
        is_same = self.fingerprint in {None, source.fingerprint}
        rows: Sequence[Row]
        if is_same:
            rows, held_out = data.split(source, self.preset)
            if self.read is not None:  # it counts held-out rows and broken places too
                rows = rows[: max(0, self.read - len(held_out) - sum(source.broken.values()))]
        else:
            rows = [*source.rows, *(source.held_out or ())]
        shapes = Shapes(source.columns, self.preset.data)
        return {key for row in rows if (key := _key(shapes, row))}, is_same


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows to measure on; `left_out` were held out too, but some run trained on them."""

    source: str
    examples: Sequence[Example]
    rows: Sequence[Row]
    left_out: int
    shapes: Shapes
    template: ChatTemplate
    task: Task | None

    @property
    def tokens(self) -> int:
        """How many tokens are predicted."""
        return sum(example.trained for example in self.examples)

    @property
    def figures(self) -> dict[str, Any]:
        """What a `held_out` event says of them."""
        return {
            "source": self.source,
            "rows": len(self.examples),
            "tokens": self.tokens,
            "left_out": self.left_out,
        }

    def asked(self, most: int) -> list[tuple[Row, list[Message]]]:
        """The first rows that ask something, each with what it asks."""
        pairs = ((row, data.question_of(self.shapes, self.template, row)) for row in self.rows)
        return list(islice(((row, asked) for row, asked in pairs if asked), most))


def trained_on(runs: Mapping[str, Preset], warn: Callable[[str], object]) -> set[bytes]:
    """The keys of all rows that runs, by their folders, were trained on."""
    found: set[bytes] = set()
    done = []
    for folder, preset in runs.items():
        trained = Trained.of(Run(Path(folder)), preset)
        what = (preset.data, preset.training.seed, trained.read, trained.fingerprint)
        if what in done:
            continue
        done.append(what)
        name = Path(folder).name
        try:
            keys, is_same = trained.keys()
        except LoraTuiError as error:
            warn(
                f"Which rows {name} was trained on is not known: {error.summary} Held-out rows "
                "may be among them."
            )
            continue
        found |= keys
        if not is_same:
            warn(
                f"The data of {name} changed since it was trained: none of its rows counts as "
                "held out."
            )
    return found


def first_common(
    candidates: list[Preset],
    of_base: Mapping[str, Any],
    tokenizer: Any,
    seen: set[bytes],
    *,
    most: int,
    warn: Callable[[str], object],
) -> Rows | None:
    """Rows of the first candidate that has some; those before it leave the list.

    Args:
        candidates: Whose held-out rows may be measured on.
        of_base: How the base is loaded (core.members.base_changes).
        tokenizer: The base's.
        seen: What may not be among them.
        most: How many.
        warn: Told what cannot be read.
    """
    while candidates:
        try:
            rows = common(changed(candidates[0], dict(of_base)), tokenizer, seen, most)
        except LoraTuiError as error:
            warn(f"Held-out rows cannot be read: {error.summary}")
        else:
            if rows.examples:
                return rows
        candidates.pop(0)
    return None


def common(preset: Preset, tokenizer: Any, seen: set[bytes], most: int) -> Rows:
    """At most `most` of the preset's held-out rows, those that are not in `seen`.

    Raises:
        LoraTuiError: its rows cannot be read.
    """
    source = open_source(preset.data)
    shapes, template = Shapes(source.columns, preset.data), ChatTemplate(tokenizer)
    _, held_out = data.split(source, preset)
    part = data.read_part(Reader(preset, shapes, template), held_out, None)
    fresh = [at for at, row in enumerate(part.rows) if _key(shapes, row) not in seen]
    chosen = fresh[:most]
    numbers = dict.fromkeys(part.numbers[at] for at in chosen)  # one may be several examples
    return Rows(
        source=source.name,
        examples=[part.examples[at] for at in chosen],
        rows=data.Selection(part.source, list(numbers)),
        left_out=len(part.examples) - len(fresh),
        shapes=shapes,
        template=template,
        task=data.task_of(source),
    )


def _key(shapes: Shapes, row: Row) -> bytes:
    """A digest of what the row says; empty for a row that nobody can train on."""
    try:
        content = shapes.read(row)
    except BadRow:
        return b""
    if not isinstance(content, str):
        content = [{**one, "content": str(one.get("content", "")).strip()} for one in content]
    said = json.dumps(content, sort_keys=True, default=str).encode("utf-8", "replace").strip()
    return hashlib.blake2b(said, digest_size=16).digest()
