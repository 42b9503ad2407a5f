"""How a run that ended goes on."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from lora_tui.tui.screens.dialog import Dialog


class GoOn(Dialog[str]):
    """Asks whether a run resumes as it was, `here`, or as a `branch` with other settings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "take('here')", "resume", key_display="y/enter"),
        Binding("enter", "take('here')", "resume", show=False),
        Binding("b", "take('branch')", "branch"),
        Binding("n", "leave", "leave it"),
        Binding("escape", "leave", "leave it", show=False),
    ]

    def action_take(self, how: str) -> None:
        self.dismiss(how)
