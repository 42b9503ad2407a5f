"""The types a model can be exported in: ticked ones, sizes, states, in aligned columns."""

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content

from lora_tui.tui.columns import left, right, width_of
from lora_tui.tui.export_words import Line
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.row_list import RowList

_COLOURS = {
    "text": "$text",
    "muted": "$foreground-muted",
    "accent": "$text-primary",
    "good": "$text-success",
    "warn": "$text-warning",
    "bad": "$text-error",
}
_SIZE = len("~1.23 GB")
_STATE = len("* writing 99%")
_ABOUT_AT_LEAST = 24


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns are that depend on what stands in them."""

    quant: int = 0
    state: int = 0
    said: int = 0

    @classmethod
    def of(cls, lines: Sequence[Line]) -> "Columns":
        """Wide enough for all lines."""
        states = [width_of(line.state[0]) for line in lines]
        return cls(
            quant=max((width_of(line.quant) for line in lines), default=0),
            state=max(_STATE, *states) if any(states) else 0,
            said=max((width_of(line.said) for line in lines if line.is_offered), default=0),
        )

    def content(self, line: Line, mark: str, role: str, width: int) -> Content:
        """The columns in `width` cells; for whom a type is gives way first."""
        parts = [
            (mark, "accent" if line.is_ticked else "muted"),
            (left(line.quant, self.quant), role),
            (f" {right(line.size, _SIZE)}", role),
        ]
        room = width - sum(width_of(text) for text, _ in parts) - 2
        if self.state:
            state = left(line.state[0], min(self.state, max(_STATE, room)))
            parts.append((f"  {state}", line.state[1] or role))
            room -= width_of(state) + 2
        if room - self.said - 2 >= _ABOUT_AT_LEAST and line.is_offered:
            parts.append((f"  {left(line.said, self.said)}", role))
            parts.append((f"  {left(line.about, room - self.said - 2)}", "muted"))
        elif room > 0:
            parts.append((f"  {left(line.said, room)}", role))
        return Content.assemble(*((text, _COLOURS[look]) for text, look in parts))


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One type."""

    line: Line
    columns: Columns

    @property
    def key(self) -> str:
        return self.line.quant

    def content(self, width: int) -> Content:
        line = self.line
        ticked, free = _marks()
        mark = ticked if line.is_ticked else free if line.is_offered else " " * len(free)
        return self.columns.content(line, mark, "text" if line.is_offered else "muted", width)


def _marks() -> tuple[str, str]:
    return ("[x] ", "[ ] ") if ascii_only() else ("◆ ", "◇ ")


class TypeList(RowList):
    """The list of types; what its keys do is up to the screen."""

    HELP = "A line for each type, the largest of a kind first; space ticks what is to be written."

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave g and enter to the screen, which has them among its own keys, in its order."""
        return action not in {"first", "select"}

    def go_on(self) -> None:
        """To the next line, and from the last one nowhere."""
        if self.highlighted is not None and self.highlighted < len(self._rows) - 1:
            self.action_cursor_down()
