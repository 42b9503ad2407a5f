"""Where a prompt is typed or pasted: enter sends it, line breaks of a paste are kept."""

from dataclasses import replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingsMap, BindingType
from textual.widgets import TextArea

from lora_tui.tui.widgets.safe_text_area import SafeTextArea

_USUAL = {one.action for one in TextArea.BINDINGS if isinstance(one, Binding)}


class PromptArea(SafeTextArea):
    """As high as its text, up to a few lines; above its first line are the earlier prompts.

    The screen it stands in has the actions `ask`, `ask_all` and `stop_typing`.
    """

    HELP = """Type a prompt; enter asks it. A \\ at the end of a line, or ctrl+j, makes a new line;
        a paste keeps its lines. Up and down bring earlier prompts back."""
    DEFAULT_CSS = """
    PromptArea { height: auto; max-height: 6; padding: 0; border: none; }
    PromptArea:focus { border: none; background: $surface; }
    PromptArea .text-area--cursor-line { background: $surface; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "ask", priority=True, tooltip="Send it to the marked member"),
        Binding("ctrl+t", "screen.ask_all", "ask all", tooltip="Send it to base and every adapter"),
        Binding("ctrl+j", "new_line", "new line", show=False),
        Binding("ctrl+p", "app.command_palette", "commands", show=False),
    ]

    def __init__(self, numbers: str) -> None:
        """`numbers` are the keys that swap once the line is left, for the footer."""
        super().__init__(compact=True, highlight_cursor_line=False)
        for keys in self._bindings.key_to_bindings.values():  # help is about what is ours
            keys[:] = [
                replace(one, description="") if one.action in _USUAL else one for one in keys
            ]
        swap = Binding("tab", "screen.next(1)", "swap", tooltip="To the next member")
        leave = Binding(
            "escape",
            "screen.stop_typing",
            f"then {numbers} swaps",
            tooltip="Leave the line: plain keys do everything then",
        )
        self._bindings = BindingsMap.merge([self._bindings, BindingsMap([swap, leave])])
        self.cursor_blink = False  # nothing moves when nothing happens
        self._asked: list[str] = []
        self._place = 0
        self._draft = ""

    def keep(self, prompt: str) -> None:
        """Remember a prompt that was asked, and begin an empty one."""
        if prompt not in self._asked[-1:]:
            self._asked.append(prompt)
        self._place, self._draft = len(self._asked), ""
        self.clear()

    def put(self, text: str) -> None:
        """Insert a text where the cursor is."""
        if done := self._replace_via_keyboard(text, *self.selection):
            self.move_cursor(done.end_location)

    def paste(self, text: str) -> None:
        """Insert what was copied, without the line break that a whole line is copied with."""
        lines = text.replace("\r\n", "\n").replace("\r", "\n")
        self.put(lines.removesuffix("\n") or lines)

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self.paste(event.text)

    async def action_send(self) -> None:
        """Ask, or go on in a new line."""
        row, column = self.cursor_location
        line = self.document.get_line(row)
        if column == len(line) and line.endswith("\\"):
            self.replace("\n", (row, column - 1), (row, column))
            return
        await self.run_action("screen.ask")

    def action_new_line(self) -> None:
        self.put("\n")

    def action_cursor_up(self, select: bool = False) -> None:
        if select or not self.cursor_at_first_line or not self._recall(-1):
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        if select or not self.cursor_at_last_line or not self._recall(1):
            super().action_cursor_down(select)

    def _recall(self, by: int) -> bool:
        """Show an earlier or later prompt in place of this one; whether there is one."""
        place = self._place + by
        if not 0 <= place <= len(self._asked):
            return False
        if self._place == len(self._asked):
            self._draft = self.text
        self._place = place
        self.text = self._asked[place] if place < len(self._asked) else self._draft
        self.move_cursor(self.document.end)
        return True
