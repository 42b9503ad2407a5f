"""A conversation that grows at its end: follows it, and repaints as little as a slow line wants."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.widget import Widget

from lora_tui.tui.widgets.painting import Rows, changed_width, repaint_bytes
from lora_tui.tui.widgets.paper import Paper

_AHEAD = 3  # of the lines seen, a third is scrolled at once: each time all is painted anew


class Transcript(Paper):
    """Stays at the end while text comes, unless one has scrolled away from it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "first", "first", show=False),
        Binding("end,G", "last", "last", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._follows = True
        self.repaints = 0  # about how many bytes the latest change cost

    def show(self, rows: Rows, *, at_top: bool = False) -> None:
        """Show the conversation as it is now; only lines that differ are painted anew."""
        before, self.rows = self.rows, rows
        if before == rows:
            self.repaints = 0
            return
        height = max(1, self.size.height)
        top = self.scroll_offset.y
        wanted = len(rows) - height
        if len(rows) < len(before) and wanted < top:
            top = max(0, wanted)  # another conversation, or other widths
        elif self._follows and wanted > top:
            top = wanted + height // _AHEAD
        if self._place(top):
            self.repaints = repaint_bytes((), rows[top : top + height])
            return
        seen = slice(top, top + height)
        self.repaints = repaint_bytes(before[seen], rows[seen])
        if regions := _changed(before, rows, top, height):
            self.refresh(*regions)

    def _place(self, top: int) -> bool:
        """Make room for all lines, and show them from `top` on; whether all is painted anew."""
        height, before = self.size.height, self.virtual_size.height
        lines = max(len(self.rows), top + height)
        if not self._follows and lines != before:  # what grows out of sight grows by pages
            lines = before if lines <= before <= lines + height else lines + height
        if lines != before:
            # Laying out paints all of it: scrolling as well would do so twice.
            self.set_reactive(Widget.scroll_y, float(top))
            self.set_reactive(Widget.scroll_target_y, float(top))
            self.virtual_size = Size(0, lines)
            self.vertical_scrollbar.position = top
            return True
        if top != self.scroll_offset.y:
            follows = self._follows
            self.scroll_to(y=top, animate=False, immediate=True, force=True)
            self._follows = follows
            return True
        return False

    def follow(self) -> None:
        """Go to the end, and stay there."""
        self._follows = True
        self._place(max(self.scroll_offset.y, len(self.rows) - self.size.height, 0))

    def on_resize(self) -> None:
        """Stay at the end: the line below grows while one types."""
        if self._follows:
            self._place(max(0, len(self.rows) - self.size.height))

    def action_first(self) -> None:
        self.scroll_to(y=0, animate=False, immediate=True)

    def action_last(self) -> None:
        self.follow()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value + self.size.height >= len(self.rows):
            self._follows = True
        elif new_value < old_value:
            self._follows = False


def _changed(before: Rows, after: Rows, top: int, height: int) -> list[Region]:
    """The cells on the screen that differ."""
    regions = []
    for y in range(height):
        at = top + y
        old = before[at] if at < len(before) else ()
        new = after[at] if at < len(after) else ()
        if old is not new and old != new and (width := changed_width(old, new)):
            regions.append(Region(0, y, width, 1))
    return regions
