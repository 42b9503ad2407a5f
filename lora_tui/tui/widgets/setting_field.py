"""One setting in one line: its name, its value, and its range, or what is wrong with it.

A line is not an input until enter makes it one, so that plain keys keep their meaning.
"""

from typing import Any, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Input

from lora_tui.core.settings import Knob, in_words
from lora_tui.core.text import one_line, printable
from lora_tui.tui import look
from lora_tui.tui.columns import Part, cut, left

LABEL = 29
_SHORT_LABEL = 20
_VALUE = 22
_ROOM_FOR_NOTES = 70


class _Typing(Input):
    """The input that stands in the line while it is edited."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "accept", "accept", tooltip="Keep what is typed"),
        Binding("escape", "give_up", "undo", tooltip="Leave the value as it was"),
        Binding("tab,down", "submit_and_go(1)", "next", show=False),
        Binding("shift+tab,up", "submit_and_go(-1)", "previous", show=False),
        Binding("ctrl+s", "screen.save", "save"),
    ]

    def action_accept(self) -> None:
        """At once, not by Input's message: the next key of a burst is for the form."""
        assert isinstance(self.parent, SettingField)
        self.parent.stop_typing()

    def action_give_up(self) -> None:
        assert isinstance(self.parent, SettingField)
        self.parent.stop_typing(undo=True)

    def action_submit_and_go(self, by: int) -> None:
        assert isinstance(self.parent, SettingField)
        self.parent.stop_typing()
        self.screen.call_later(self.screen.run_action, f"move({by})")


class SettingField(Widget, can_focus=True):
    """Shows what it is given, and tells what was typed or chosen; it keeps no value of its own."""

    HELP = "A setting. Enter edits it in place; what does not fit stays as typed and says why."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "edit", "edit", tooltip="Type a value, or pick one"),
        Binding(
            "space", "turn(1)", "next value", show=False, tooltip="Turn a switch or a choice on"
        ),
        Binding("right", "turn(1)", "next value", show=False),
        Binding("left", "turn(-1)", "previous value", show=False),
        Binding("u", "undo", "undo", show=False, tooltip="Back to the value that is saved"),
    ]

    text: reactive[str] = reactive("")
    problem: reactive[str] = reactive("")
    changed: reactive[bool] = reactive(False)

    class Typed(Message):
        """A text was typed for a setting."""

        def __init__(self, item: Knob, text: str) -> None:
            super().__init__()
            self.item, self.text = item, text

    class Chosen(Message):
        """A value that fits was chosen, by turning it on."""

        def __init__(self, item: Knob, value: Any) -> None:
            super().__init__()
            self.item, self.value = item, value

    class Undone(Message):
        """The saved value is wanted back."""

        def __init__(self, item: Knob) -> None:
            super().__init__()
            self.item = item

    class PickWanted(Message):
        """All choices are to be shown."""

        def __init__(self, item: Knob) -> None:
            super().__init__()
            self.item = item

    def __init__(self, item: Knob) -> None:
        """A line for the setting `item`."""
        super().__init__(id=f"field-{item.table}-{item.name}")
        self.item = item
        self._before = ""
        self._input: _Typing | None = None

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values it can be turned through; none when it is typed."""
        return (False, True) if self.item.types == (bool,) else self.item.limits.choices

    @property
    def is_typing(self) -> bool:
        """Whether an input stands in the line."""
        return self._input is not None

    # --- drawing -----------------------------------------------------------------------------

    def render(self) -> Content:
        width = self.content_size.width
        has_room = width >= _ROOM_FOR_NOTES
        label = self._label
        note = self.problem or (self.item.range if has_room else "")
        value_width = _VALUE if note and has_room else width - label - 1
        is_here = self.has_focus or self.is_typing
        cursor = look.cursor() if is_here else " "
        parts: list[Part] = [
            (cursor, ""),
            (left(self.item.name, label - 1), "bold" if is_here else "$foreground"),
            (left(self.text, value_width), self._value_style()),
        ]
        if note and has_room:
            style = "$text-error" if self.problem else "$foreground-muted"
            parts.append((" " + cut(note, width - label - value_width - 1), style))
        return Content.assemble(*parts)

    @property
    def _label(self) -> int:
        """How wide the names are."""
        return LABEL if self.content_size.width > 2 * LABEL else _SHORT_LABEL

    def on_resize(self) -> None:
        """The input stays where the value is."""
        for field in self.children:
            field.styles.margin = (0, 0, 0, self._label)

    def _value_style(self) -> str:
        if self.problem:
            return "$text-error underline"
        return "bold $text-primary" if self.changed else "$foreground"

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # --- editing -----------------------------------------------------------------------------

    def action_edit(self) -> None:
        if self.item.types == (bool,):
            self.action_turn(1)
        elif self.choices and tuple not in self.item.types:  # a list has to be typed
            self.post_message(self.PickWanted(self.item))
        elif not self.is_typing:
            self._before = self.text
            field = _Typing(printable(self.text), compact=True, select_on_focus=False)
            is_short = {int, float} & set(
                self.item.types
            )  # the rest of the line says what is wrong
            field.set_class(bool(is_short) and self.content_size.width >= _ROOM_FOR_NOTES, "-short")
            field.styles.margin = (0, 0, 0, self._label)
            self._input = field
            self.mount(field)
            self.screen.set_focus(field)  # at once: over a slow line keys arrive in bursts
            self.refresh()

    def action_turn(self, by: int) -> None:
        choices = self.choices
        if not choices:
            return
        words = [in_words(choice) for choice in choices]
        place = words.index(self.text) + by if self.text in words else 0
        self.post_message(self.Chosen(self.item, choices[place % len(choices)]))

    def action_undo(self) -> None:
        self.post_message(self.Undone(self.item))

    @on(Input.Changed)
    def _tell(self, event: Input.Changed) -> None:
        event.stop()
        if one_line(event.value) != one_line(self.text):
            self.post_message(self.Typed(self.item, event.value))

    def stop_typing(self, *, undo: bool = False) -> None:
        """Take the input away; what was typed has been told already."""
        if undo:
            self.post_message(self.Typed(self.item, self._before))
        self._input = None
        self.screen.set_focus(self)
        self.remove_children()

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        """The line looks as before once the input is left."""
        self.refresh()


class Fields(VerticalScroll, can_focus=False, inherit_bindings=False):
    """One table's fields; the keys that move are the form's, or the cursor would stay behind."""
