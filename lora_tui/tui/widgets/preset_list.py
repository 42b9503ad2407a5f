"""The presets: name, rank, and whether the machine alone is enough."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from lora_tui.core.preset_files import Entry, list_presets
from lora_tui.core.presets import is_demo
from lora_tui.core.settings import Problem
from lora_tui.tui.columns import left, right
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.row_list import RowList

_RANK, _PLACE = 4, 5
_WIDE = 28


@dataclass(frozen=True, slots=True)
class PresetRow:
    """One preset file, whole or broken.

    The Hub has to give it what is `missing`; nobody can what is `lost`.
    """

    entry: Entry
    missing: tuple[str, ...] = ()
    lost: tuple[Problem, ...] = ()

    @property
    def key(self) -> str:
        return str(self.entry.path)

    def content(self, width: int) -> Content:
        """Name and rank; the place too where there is room."""
        entry = self.entry
        if entry.preset is None or self.lost:
            mark = "x" if ascii_only() else "✗"
            word = f" {mark} {'broken' if entry.preset is None else 'gone'}"
            return Content.assemble(
                (left(entry.name, width - len(word)), "$text"), (word, "$text-error")
            )
        lora = entry.preset.lora
        rank = "full" if lora.method == "full" else f"r{lora.r}"
        name_width = width - _RANK - 1
        tail = [(" " + right(rank, _RANK), "$foreground-muted")]
        if width >= _WIDE:
            name_width -= _PLACE
            place = "hub" if self.missing else ("cpu" if _is_demo(entry) else "here")
            tail.append((" " + right(place, _PLACE - 1), "$foreground-muted"))
        return Content.assemble((left(entry.name, name_width), "$text"), *tail)


def _is_demo(entry: Entry) -> bool:
    return entry.preset is not None and is_demo(entry.preset.model.name_or_path)


def read_rows() -> tuple[PresetRow, ...]:
    """Every preset file, and whether what it names is here."""
    from lora_tui.core.named import lost, missing_here

    return tuple(
        PresetRow(entry, tuple(missing_here(preset)), tuple(lost(preset)))
        if (preset := entry.preset)
        else PresetRow(entry)
        for entry in list_presets()
    )


def fitting(rows: Sequence[PresetRow], wanted: str) -> list[PresetRow]:
    """The rows whose name or description holds `wanted`."""
    wanted = wanted.lower()
    return [
        row
        for row in rows
        if wanted in row.entry.name.lower()
        or (row.entry.preset is not None and wanted in row.entry.preset.description.lower())
    ]


class PresetList(RowList):
    """The list of presets; what its keys do is up to the screen."""

    HELP = "Presets: what a run is made of. Shipped ones first, then your own."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "open", tooltip="Look at all its settings and change them"),
        Binding("t", "screen.train", "train", tooltip="Start a run of it now"),
        Binding("d", "screen.look('data')", "data", tooltip="What it would be trained on"),
        Binding("c", "screen.look('check')", "check", tooltip="Would a run of it work"),
        Binding("n", "screen.new_preset", "new", tooltip="Make a preset of your own from it"),
        Binding("s", "screen.sweep", "sweep", tooltip="Several runs of it, with values each"),
        Binding("tab", "screen.other_list", "runs"),
    ]
