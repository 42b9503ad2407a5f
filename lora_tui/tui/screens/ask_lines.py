"""Several lines to type or paste."""

from collections.abc import Iterable
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static, TextArea

from lora_tui.tui.screens.dialog import Dialog
from lora_tui.tui.widgets.safe_text_area import SafeTextArea


class Lines(SafeTextArea):
    """A text area in the look of the other fields; a paste keeps its lines."""

    DEFAULT_CSS = """
    Lines { height: 8; padding: 0; border: none; background: $surface; margin-bottom: 1; }
    Lines:focus { border: none; background: $surface; }
    Lines .text-area--cursor-line { background: $surface; }
    """

    def __init__(self, text: str) -> None:
        super().__init__(text, compact=True, highlight_cursor_line=False)
        self.cursor_blink = False  # nothing moves when nothing happens


class AskLines(Dialog[list[str]]):
    """Asks for texts, one a line; blank lines count for nothing."""

    AUTO_FOCUS = "Lines"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "take", "accept", priority=True, tooltip="Take the lines as they are"),
    ]

    def __init__(self, title: str, lines: Iterable[str], *, text: str, needed: str) -> None:
        """`needed` is what to say when there is none; empty where there may be none."""
        super().__init__(title, text)
        self._lines, self._needed = tuple(lines), needed

    def compose_inside(self) -> Iterable[Widget]:
        yield Lines("\n".join(self._lines))
        yield Static("", classes="problem")

    @on(TextArea.Changed)
    def forget_problem(self) -> None:
        self.query_one(".problem", Static).display = False

    def on_mount(self) -> None:
        self.forget_problem()

    def action_take(self) -> None:
        found = [line.strip() for line in self.query_one(Lines).text.split("\n") if line.strip()]
        if found or not self._needed:
            self.dismiss(found)
            return
        problem = self.query_one(".problem", Static)
        problem.update(Content(self._needed))
        problem.display = True
        self.app.bell()
