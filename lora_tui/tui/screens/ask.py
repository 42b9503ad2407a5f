"""A line or two to type, with what is wrong with them said at once."""

import asyncio
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
from lora_tui.tui.typeahead import TypeAhead

Check = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Question:
    """One line to fill in: its label, what stands in it at first, and what is wrong with a text.

    `check` is asked at every key, `look`, which may read the disk, in a thread once it is taken.
    """

    label: str
    value: str = ""
    check: Check = lambda _: None
    look: Check | None = None


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
        self._say(self._problem)

    def _say(self, problem: str | None) -> None:
        line = self.query_one(".problem", Static)
        line.update(Content(printable(problem or "")))
        line.display = bool(problem)

    @property
    def _texts(self) -> list[str]:
        return [field.value.strip() for field in self.query(Input)]

    @property
    def _problem(self) -> str | None:
        pairs = zip(self._questions, self._texts, strict=True)
        return next((said for question, text in pairs if (said := question.check(text))), None)

    def action_take(self) -> None:
        if self._problem is not None:
            self.app.bell()
        elif any(question.look for question in self._questions):
            if isinstance(self.app, TypeAhead):
                self.app.hold_keys()
            self.run_worker(self._take_if_sound(), group="look", exit_on_error=False)
        else:
            self.dismiss(self._texts)

    async def _take_if_sound(self) -> None:
        """Take the texts, unless a look at the disk finds something wrong; then it is said."""
        texts = self._texts
        try:
            for question, text in zip(self._questions, texts, strict=True):
                if question.look and (said := await asyncio.to_thread(question.look, text)):
                    self._say(said)
                    self.app.bell()
                    return
            self.dismiss(texts)
        finally:
            if isinstance(self.app, TypeAhead):
                self.app.call_later(self.app.release_keys)
