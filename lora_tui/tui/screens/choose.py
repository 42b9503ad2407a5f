"""One of a few values."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList

from lora_tui.tui.screens.dialog import Dialog
from lora_tui.tui.widgets.row_list import PlainRow, RowList


class Choose(Dialog[int]):
    """Shows all choices with the present one under the cursor; answers the index of the chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "take", "choose", priority=True)]

    def __init__(self, title: str, choices: Sequence[str], present: int, *, text: str = "") -> None:
        """Choices in words."""
        super().__init__(title, text)
        self._choices = choices
        self._present = present

    def compose_inside(self) -> Iterable[Widget]:
        yield RowList()

    def on_mount(self) -> None:
        """Fill the list."""
        choices = self.query_one(RowList)
        choices.show([PlainRow(str(at), Content(word)) for at, word in enumerate(self._choices)])
        choices.highlighted = self._present

    @on(OptionList.OptionSelected)
    def action_take(self) -> None:
        self.dismiss(self.query_one(RowList).highlighted)
