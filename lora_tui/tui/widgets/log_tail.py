"""A window on a log: shows the lines it is given, marks what was searched for, asks for more."""

import re
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip


@dataclass(frozen=True, slots=True)
class Window:
    """Lines of a log; `base` numbers the first of them, so that it is known how they moved."""

    lines: tuple[str, ...] = ()
    base: int = 0
    at_start: bool = True
    at_end: bool = True


class LogTail(ScrollView, can_focus=True):
    """Stays at the end while new lines come, unless one has scrolled away from it."""

    COMPONENT_CLASSES = {"log-tail--found"}
    DEFAULT_CSS = """
    LogTail {
        scrollbar-size-horizontal: 0;
        & > .log-tail--found { background: $primary; color: $background; }
    }
    """

    class Wish(Message):
        """Other lines are wanted: `back` and `forward` are a page, `start` and `end` the file's."""

        def __init__(self, wish: str) -> None:
            super().__init__()
            self.wish = wish

    def __init__(self) -> None:
        super().__init__()
        self.window = Window()
        self._pattern: re.Pattern[str] | None = None
        self._following = True

    def show(self, window: Window) -> None:
        """Show other lines; what was on the screen stays where it is, if it is still there."""
        before, self.window = self.window, window
        widest = max(map(len, window.lines), default=0)
        self.virtual_size = Size(widest, len(window.lines))
        if self._following and window.at_end:
            self.scroll_end(animate=False, x_axis=False)
        elif moved := before.base - window.base:
            self.scroll_relative(y=moved, animate=False, immediate=True)
        self.refresh()

    def on_resize(self) -> None:
        """Stay at the end."""
        if self._following:
            self.scroll_end(animate=False, x_axis=False)

    def jump(self, edge: str) -> None:
        """Go to the `start` or the `end` of the window."""
        self._following = edge == "end"
        go = self.scroll_end if self._following else self.scroll_home
        go(animate=False, x_axis=False)

    def mark(self, wanted: str) -> None:
        """Mark every occurrence of `wanted`, in any case."""
        self._pattern = re.compile(re.escape(wanted), re.IGNORECASE) if wanted else None
        self.refresh()

    def go_to(self, number: int) -> None:
        """Bring the line with that number (counted as `base` is) to the middle of the screen."""
        self._following = False
        y = number - self.window.base - self.size.height // 2
        self.scroll_to(y=max(0, y), animate=False, immediate=True)

    def action_scroll_home(self) -> None:
        self.post_message(self.Wish("start"))

    def action_scroll_end(self) -> None:
        self.post_message(self.Wish("end"))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value:
            self._following = False
        elif new_value >= self.max_scroll_y:
            self._following = True
        if new_value <= 0 and not self.window.at_start:
            self.post_message(self.Wish("back"))
        elif new_value >= self.max_scroll_y and not self.window.at_end:
            self.post_message(self.Wish("forward"))

    def render_line(self, y: int) -> Strip:
        offset = self.scroll_offset
        at = y + offset.y
        width = self.size.width
        if at >= len(self.window.lines):
            return Strip.blank(width, self.rich_style)
        segments = self._segments(self.window.lines[at])
        return Strip(segments).crop_extend(offset.x, offset.x + width, self.rich_style)

    def _segments(self, line: str) -> list[Segment]:
        plain = self.rich_style
        if self._pattern is None:
            return [Segment(line, plain)]
        found: Style = self.get_component_rich_style("log-tail--found")
        pieces, place = [], 0
        for match in self._pattern.finditer(line):
            pieces += [Segment(line[place : match.start()], plain), Segment(match[0], found)]
            place = match.end()
        return [*pieces, Segment(line[place:], plain)]
