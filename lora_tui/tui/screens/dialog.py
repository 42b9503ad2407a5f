"""What all dialogues share: a quiet box in the middle, its keys on its last line, esc leaves."""

from collections.abc import Iterable
from typing import ClassVar, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widget import Widget
from textual.widgets import Static

from lora_tui.core.text import one_line
from lora_tui.tui.columns import plain
from lora_tui.tui.failures import Reporting
from lora_tui.tui.widgets.key_bar import KeyBar

Answer = TypeVar("Answer")

# The app's own keys end at a dialogue.
HELP_KEY = Binding("question_mark,f1", "app.help", "help", show=False, tooltip="What the keys do")


class Dialog(ModalScreen[Answer | None], Reporting):
    """A box with a title; a subclass says what is in it. Leaving it answers None."""

    CSS_PATH = ["dialog.tcss"]
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back"), HELP_KEY]

    def __init__(self, title: str, text: str = "") -> None:
        """A title, and sentences below it; both as they are, never as markup."""
        super().__init__()
        self._heading = title
        self._text = text

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(plain(one_line(self._heading)))
            if self._text:
                yield Static(Content(plain(self._text)), id="text")
            yield from self.compose_inside()
            yield KeyBar()

    def compose_inside(self) -> Iterable[Widget]:
        """What stands between the sentences and the keys."""
        return ()

    def action_leave(self) -> None:
        self.dismiss(None)
