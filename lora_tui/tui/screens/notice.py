"""Something to read before going on."""

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from lora_tui.tui.columns import plain
from lora_tui.tui.screens.dialog import Dialog


class Notice(Dialog[None]):
    """A text of any length, scrolled with the usual keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("enter,q", "leave", "close"),
        Binding("escape", "leave", "back", show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        """A title and a text, both as they are."""
        super().__init__(title)
        self._message = text

    def compose_inside(self) -> Iterable[Widget]:
        with VerticalScroll(id="message"):
            yield Static(Content(plain(self._message)))

    def action_scroll(self, lines: int) -> None:
        self.query_one("#message").scroll_relative(y=lines, animate=False)
