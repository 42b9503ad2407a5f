"""Yes or no, with a sentence that says what follows."""

from textual.binding import Binding, BindingsMap

from lora_tui.tui.screens.dialog import HELP_KEY, Dialog


class Confirm(Dialog[bool]):
    """Asks before something is done: `y` says yes; enter too where nothing can be lost by it."""

    def __init__(
        self, title: str, text: str, *, yes: str = "yes", no: str = "no", enter: bool = False
    ) -> None:
        """A question; `yes` and `no` say in a word or two what the keys do."""
        super().__init__(title, text)
        self._bindings = BindingsMap(
            [
                Binding("y", "yes", yes, key_display="y/enter" if enter else None),
                Binding("enter", "yes" if enter else "nothing", yes, show=False),
                Binding("n", "leave", no),
                Binding("escape", "leave", no, show=False),
                HELP_KEY,
            ]
        )

    def action_yes(self) -> None:
        self.dismiss(True)
