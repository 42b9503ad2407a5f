"""How answers are drawn: five lines to fill in, with all that is wrong with them said at once."""

from collections.abc import Iterable
from typing import ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from lora_tui.core import chat_settings
from lora_tui.core.chat_settings import KNOBS, ChatSettings
from lora_tui.core.settings import in_words
from lora_tui.core.text import printable
from lora_tui.tui.columns import plain
from lora_tui.tui.screens.dialog import Dialog

_LABELS = {"top_p": "top-p", "max_new_tokens": "max new tokens", "system": "system prompt"}


class _Line(Input):
    """A line that refuses several at once: to take the first alone would lose the others."""

    def _on_paste(self, event: events.Paste) -> None:
        number = len(event.text.splitlines())
        if number > 1:
            event.prevent_default()
            event.stop()
            said = f"{number} lines have no room in one: join them, then paste again."
            self.app.notify(said, title="Not pasted", severity="warning", markup=False)


class ChatSettingsDialog(Dialog[ChatSettings]):
    """Enter takes all of them, esc leaves them as they were."""

    CSS_PATH = ["dialog.tcss", "chat_settings.tcss"]
    AUTO_FOCUS = "Input"
    HELP = "Settings of the answers from now on; what was said stays. Tab goes to the next line."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "take", "accept", priority=True),
        Binding("tab,down", "app.focus_next", "next", key_display="tab"),
        Binding("up", "app.focus_previous", "previous", show=False),
    ]

    def __init__(self, settings: ChatSettings) -> None:
        """Begin with the settings as they are."""
        super().__init__("Answers")
        self._settings = settings

    def compose_inside(self) -> Iterable[Widget]:
        for item in KNOBS:
            with Horizontal(classes="line"):
                yield Static(Content(_LABELS.get(item.name, item.name)), classes="label")
                value = printable(in_words(getattr(self._settings, item.name)))
                yield _Line(value, compact=True, id=item.name, select_on_focus=False)
        yield Static("", id="says")

    def on_mount(self) -> None:
        """Say what the present settings mean."""
        for field in self.query(Input):
            field.cursor_blink = False
        self.say()

    @property
    def _texts(self) -> dict[str, str]:
        """What was typed; the system prompt keeps what a line cannot show if it was left alone."""
        texts = {item.name: self.query_one(f"#{item.name}", Input).value for item in KNOBS}
        if texts["system"] == printable(self._settings.system):
            texts["system"] = self._settings.system
        return texts

    @on(Input.Changed)
    def say(self) -> None:
        """What is wrong with them, all of it; else what they mean."""
        wrong = chat_settings.problems(self._texts)
        says = self.query_one("#says", Static)
        says.set_class(bool(wrong), "-wrong")
        if wrong:
            lines = [f"{_LABELS.get(one.key, one.key)}: {one.message}" for one in wrong]
            says.update(Content(plain("\n".join(lines))))
            return
        found = chat_settings.read(self._texts)
        meaning = (
            "Greedy: the likeliest token each time; top-p and seed do nothing."
            if found.is_greedy
            else "Drawn by chance: the same seed and settings give the same answer again."
        )
        says.update(Content(meaning))

    def action_take(self) -> None:
        if chat_settings.problems(self._texts):
            self.app.bell()
        else:
            self.dismiss(chat_settings.read(self._texts))
