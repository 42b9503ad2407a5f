"""A list of one-line rows, laid out when they are drawn: a thousand cost little more than ten."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.css.styles import RulesMap
from textual.strip import Strip
from textual.style import Style
from textual.visual import RenderOptions, Visual
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from lora_tui.core.text import one_line
from lora_tui.tui.columns import dot
from lora_tui.tui.look import ascii_only


class Row(Protocol):
    """One line of a list; equal rows look the same."""

    @property
    def key(self) -> str:
        """What identifies the row while it changes and moves."""

    def content(self, width: int) -> Content:
        """The row in `width` cells."""


@dataclass(frozen=True)
class PlainRow:
    """A row that is the same at every width, but for what has no room."""

    key: str
    text: Content

    def content(self, width: int) -> Content:
        return self.text.truncate(width, ellipsis=not ascii_only())


class _RowVisual(Visual):
    """A row that is laid out for the width it finds."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def render_strips(
        self, width: int, height: int | None, style: Style, options: RenderOptions
    ) -> list[Strip]:
        return self.row.content(width).render_strips(width, 1, style, options)

    def get_optimal_width(self, rules: RulesMap, container_width: int) -> int:
        return container_width

    def get_height(self, rules: RulesMap, width: int) -> int:
        return 1


class RowList(OptionList):
    """Textual's option list, with a mark at the cursor that needs no colour, and vi's keys."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "down", show=False),
        Binding("k", "cursor_up", "up", show=False),
        Binding("g", "first", "first", show=False),
        Binding("G", "last", "last", show=False),
        Binding("ctrl+d", "page_down", "page down", show=False),
        Binding("ctrl+u", "page_up", "page up", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        """An empty list; `show` fills it."""
        super().__init__(id=id, classes=classes, markup=False)
        self._rows: list[Row] = []
        self._title = ""
        self._expected = ""

    @property
    def chosen(self) -> str | None:
        """The key of the row at the cursor."""
        return (
            self._rows[self.highlighted].key
            if self._rows and self.highlighted is not None
            else None
        )

    def expect(self, key: str) -> None:
        """Put the cursor on a row as soon as it comes."""
        self._expected = key

    def set_title(self, name: str, wanted: str = "", of: int | None = None) -> None:
        """Name the list on its border, with what it is narrowed to."""
        number = f"{len(self._rows)} of {of}" if wanted and of is not None else len(self._rows)
        narrowed = f"{dot()}{number} with {one_line(wanted)}" if wanted else ""
        title = Content(f"{name}{narrowed}")
        if self._title != title.plain:
            self._title = title.plain
            self.border_title = title

    def show(self, rows: Sequence[Row], *, empty: str = "") -> None:
        """Show these rows; the cursor stays on its row, and only lines that changed are drawn.

        Without rows `empty` stands in their place.
        """
        before, self._rows = self._rows, list(rows)
        if not rows:
            if before or not self.option_count:
                self.set_options([Option(Content(empty), disabled=True)])
            else:
                self.replace_option_prompt_at_index(0, Content(empty))
            return
        if [row.key for row in before] == [row.key for row in rows]:
            pairs = enumerate(zip(before, rows, strict=True))
            self._redraw([place for place, (old, new) in pairs if old != new])
            return
        cursor, scroll = self.highlighted, self.scroll_offset.y
        chosen = None if cursor is None or not before else before[cursor].key
        self.set_options(Option(_RowVisual(row), id=row.key) for row in rows)
        places = {row.key: index for index, row in enumerate(rows)}
        if self._expected in places:
            chosen, self._expected, scroll = self._expected, "", 0
        self.highlighted = places.get(chosen or "", min(cursor or 0, len(rows) - 1))
        if scroll:
            self.scroll_to(y=scroll, animate=False, force=True)

    def _redraw(self, places: list[int]) -> None:
        """Draw some lines anew. The public way redraws the whole list, which a slow line feels."""
        for place in places:
            self._options[place]._set_prompt(_RowVisual(self._rows[place]))
        if places:
            self._option_render_cache.clear()
        for place in places:
            self.refresh_line(place)

    def _get_left_gutter_width(self) -> int:
        return 1

    def marks_before(self, place: int) -> str:
        """What stands before a row, as wide as the gutter: the cursor's mark."""
        if place != self.highlighted:
            return " "
        here, elsewhere = (">", "-") if ascii_only() else ("▸", "▹")
        return here if self.has_focus else elsewhere

    def render_line(self, y: int) -> Strip:
        line = super().render_line(y)
        place = self.scroll_offset.y + y
        if place >= len(self._rows):
            return line
        return Strip([Segment(self.marks_before(place), next(iter(line)).style), *line])


def nothing_in(what: str, wanted: str) -> str:
    """What an empty list says that was narrowed to a text."""
    return f'No {what} with "{one_line(wanted)}". esc shows all.' if wanted else f"No {what}."
