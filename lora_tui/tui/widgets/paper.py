"""A window on lines of coloured text that were laid out elsewhere."""

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from lora_tui.tui.widgets.painting import ROLES, Rows


class Paper(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows rows of text, each piece in its role; text of any origin has to be made safe before."""

    COMPONENT_CLASSES = {f"paper--{role}" for role in (*ROLES, "trained", "lost")}
    DEFAULT_CSS = """
    Paper {
        scrollbar-size-horizontal: 0;
        scrollbar-size-vertical: 1;
        scrollbar-color: $panel;
        scrollbar-background: $background;
        & > .paper--text { color: $foreground; }
        & > .paper--muted { color: $foreground-muted; }
        & > .paper--strong { color: $foreground; text-style: bold; }
        & > .paper--accent { color: $text-primary; text-style: bold; }
        & > .paper--faint { color: $primary 45%; }
        & > .paper--good { color: $text-success; }
        & > .paper--warn { color: $text-warning; }
        & > .paper--bad { color: $text-error; }
        & > .paper--trained { color: $text-primary; text-style: bold; }
        & > .paper--lost { color: $foreground-muted; text-style: strike; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("pagedown,ctrl+d,space", "page_down", "page down", show=False),
        Binding("pageup,ctrl+u", "page_up", "page up", show=False),
    ]

    class Room(Message):
        """There is another width for the text now."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: Rows = ()
        self._looks: dict[str, Style] = {}

    def show(self, rows: Rows, *, at_top: bool = False) -> None:
        """Show other rows, from the first on if they are about something else."""
        if at_top:
            self.scroll_to(y=0, animate=False, immediate=True)
        if rows == self.rows:
            return
        self.rows = rows
        self.virtual_size = Size(0, len(rows))
        self.refresh()

    def plain(self) -> str:
        """What is shown as plain text, for tests."""
        return "\n".join("".join(text for text, _ in row) for row in self.rows)

    def on_resize(self) -> None:
        """Tell whoever lays the text out."""
        self.post_message(self.Room())

    def notify_style_update(self) -> None:
        self._looks.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        at, width, plain = y + self.scroll_offset.y, self.size.width, self.rich_style
        if at >= len(self.rows):
            return Strip.blank(width, plain)
        segments = [Segment(text, self._look(role)) for text, role in self.rows[at]]
        return Strip(segments).adjust_cell_length(width, plain)

    def _look(self, role: str) -> Style:
        if role not in self._looks:
            self._looks[role] = self.get_component_rich_style(f"paper--{role}")
        return self._looks[role]
