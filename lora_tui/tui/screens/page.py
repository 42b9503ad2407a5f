"""Something to read that fills the screen: coloured lines, laid out for the room there is."""

from collections.abc import Callable
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from lora_tui.tui.failures import Reporting
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Rows
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar


class PageScreen(Reporting, Screen[None]):
    """Shows what `lay_out` makes of the cells in a line."""

    CSS_PATH = "page.tcss"
    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape,enter", "back", "back", key_display="q"),
    ]

    def __init__(self, lay_out: Callable[[int], Rows], *trail: str) -> None:
        """`trail` is where one is, for the title."""
        super().__init__()
        self._lay_out, self._trail = lay_out, trail

    def compose(self) -> ComposeResult:
        yield TitleBar(*self._trail)
        yield Paper(id="page")
        yield KeyBar()

    @on(Paper.Room)
    def show(self) -> None:
        """Lay it out for the present width, and as things stand now."""
        for paper in self.query(Paper):
            paper.show(self._lay_out(max(20, paper.size.width - 1)))

    def action_back(self) -> None:
        self.dismiss()
