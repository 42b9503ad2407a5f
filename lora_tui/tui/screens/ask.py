"""A line or two to type, with what is wrong with them said at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from lora_tui.core.text import one_line, printable
from lora_tui.tui.screens.dialog import Dialog

Check = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One line to fill in: its label, what stands in it at first, and what is wrong with a text."""

    label: str
    value: str = ""
    check: Check = lambda _: None


class Ask(Dialog[list[str]]):
    """Asks for one text or several; enter takes them, esc leaves without."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "take", "accept", priority=True)]

    def __init__(self, title: str, *questions: Question, text: str = "") -> None:
        """Questions in their order, below sentences that say what follows."""
        super().__init__(title, text)
        self._questions = questions

    def compose_inside(self) -> Iterable[Widget]:
        for question in self._questions:
            yield Static(Content(question.label), classes="label")
            yield Input(one_line(question.value), compact=True)
        yield Static("", classes="problem")

    @on(Input.Changed)
    def show_problem(self) -> None:
        """Say the first thing that is wrong, while it is typed."""
        line = self.query_one(".problem", Static)
        line.update(Content(printable(self._problem or "")))
        line.display = bool(self._problem)

    @property
    def _texts(self) -> list[str]:
        return [field.value.strip() for field in self.query(Input)]

    @property
    def _problem(self) -> str | None:
        pairs = zip(self._questions, self._texts, strict=True)
        return next((said for question, text in pairs if (said := question.check(text))), None)

    def action_take(self) -> None:
        if self._problem is None:
            self.dismiss(self._texts)
        else:
            self.app.bell()
