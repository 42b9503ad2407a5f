"""The runs of a sweep as a table whose lines can be marked, and what its columns are."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message

from lora_tui.core.sweep_rows import Row
from lora_tui.tui import sweep_words
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.run_list import RunList

_GUTTER = 2
_SHOWN = frozenset({"enter", "space", "c", "tab", "escape"})
_OF_RUNS = [one for one in RunList.BINDINGS if isinstance(one, Binding) and one.key not in _SHOWN]


class SweepList(RunList):
    """A list of runs in the order of the sweep; its keys are those of the runs on Home."""

    HELP = "The runs of the sweep; the best of a column has a star."
    BINDINGS: ClassVar[list[BindingType]] = [
        *(replace(one, show=False) for one in _OF_RUNS),
        Binding("tab", "screen.other_chart", "chart", tooltip="Curves, or quality over size"),
        Binding("h", "screen.kind", "loss", tooltip="The loss on held-out rows, or the train loss"),
        Binding("s", "screen.stop_all", "stop all", tooltip="What works, and what waits"),
        Binding("w", "screen.write", "write", tooltip="Table and charts as text; copies the path"),
    ]


class SweepTable(Vertical):
    """The list, and above it what the columns are."""

    class Room(Message):
        """There is another width now."""

    def compose(self) -> ComposeResult:
        yield Painting(id="head")
        yield SweepList()

    def on_resize(self) -> None:
        """Tell whoever fills it."""
        self.post_message(self.Room())

    def show(self, rows: Sequence[Row]) -> None:
        """Show the runs as they stand."""
        runs = self.query_one(SweepList)
        runs.show(sweep_words.rows_of(rows))
        width = self.content_size.width - _GUTTER - runs.scrollbar_size_vertical
        ((text, role),) = sweep_words.head(sweep_words.columns(rows), width)
        self.query_one("#head", Painting).paint((((" " * _GUTTER + text, role),),))
