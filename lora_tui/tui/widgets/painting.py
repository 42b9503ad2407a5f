"""Coloured text that repaints only the cells that changed: made for slow connections."""

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from lora_tui.core.text import one_line, printable
from lora_tui.tui.columns import ellipsis

Row = tuple[tuple[str, str], ...]
"""One line: pieces of text, each with its role (one of `ROLES`)."""

Rows = tuple[Row, ...]

ROLES = ("text", "muted", "strong", "accent", "faint", "good", "warn", "bad")


class Painting(Widget):
    """Shows rows of text; a new picture repaints what differs from the last one.

    Textual writes a line from the widget's left edge to the last changed cell, so pictures that
    grow at their right end cost most: keep what changes often in narrow widgets.
    """

    COMPONENT_CLASSES = {f"painting--{role}" for role in ROLES}
    DEFAULT_CSS = """
    Painting {
        & > .painting--text { color: $foreground; }
        & > .painting--muted { color: $foreground-muted; }
        & > .painting--strong { color: $foreground; text-style: bold; }
        & > .painting--accent { color: $primary; }
        & > .painting--faint { color: $primary 45%; }
        & > .painting--good { color: $text-success; }
        & > .painting--warn { color: $text-warning; }
        & > .painting--bad { color: $text-error; }
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: Rows = ()
        self._looks: dict[str, Style] = {}

    def paint(self, rows: Rows) -> None:
        """Show `rows`, top left aligned; what came from elsewhere may hold anything."""
        rows = tuple(_trimmed(tuple((_safe(text), role) for text, role in row)) for row in rows)
        before, self._rows = self._rows, rows
        regions = []
        for y in range(max(len(before), len(rows))):
            old = before[y] if y < len(before) else ()
            new = rows[y] if y < len(rows) else ()
            if old != new and (width := changed_width(old, new)):
                regions.append(Region(0, y, width, 1))
        if regions:
            self.refresh(*regions)

    def plain(self) -> str:
        """What is shown as plain text, for tests and for copying."""
        return "\n".join("".join(text for text, _ in row) for row in self._rows)

    def notify_style_update(self) -> None:
        self._looks.clear()
        super().notify_style_update()

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        plain = self.rich_style
        if y >= len(self._rows):
            return Strip.blank(width, plain)
        segments = [Segment(text, self._look(role)) for text, role in self._rows[y]]
        return Strip(segments).adjust_cell_length(width, plain)

    def _look(self, role: str) -> Style:
        if role not in self._looks:
            self._looks[role] = self.get_component_rich_style(f"painting--{role}")
        return self._looks[role]


def _trimmed(row: Row) -> Row:
    """`row` without blanks at its end: what looks the same is the same, whatever room it had."""
    while row and not row[-1][0].rstrip(" "):
        row = row[:-1]
    return (*row[:-1], (row[-1][0].rstrip(" "), row[-1][1])) if row else ()


def _safe(text: str) -> str:
    """`text` without what a terminal would obey; spaces stay, and the cells with them."""
    if text.isprintable():
        return text
    return printable(text).replace("\n", " ").replace("\t", " ")


def changed_width(old: Row, new: Row) -> int:
    """How many cells from the left have to be painted anew; blanks at the end need no colour."""
    before, after = _cells(old), _cells(new)
    for x in range(max(len(before), len(after)) - 1, -1, -1):
        one = before[x] if x < len(before) else _BLANK
        other = after[x] if x < len(after) else _BLANK
        if one != other and (one[0] != " " or other[0] != " "):
            return x + 1
    return 0


def repaint_bytes(before: Rows, after: Rows) -> int:
    """About how many bytes a terminal gets when `after` takes the place of `before`."""
    total = 0
    for y, new in enumerate(after):
        old = before[y] if y < len(before) else ()
        room = changed_width(old, new) if old != new else 0
        for text, _ in new:
            if room <= 0:
                break
            total += _COLOUR_BYTES + len(text[:room].encode())
            room -= len(text)
    return total


_BLANK = (" ", "")
_COLOUR_BYTES = 40  # setting and resetting 24-bit colours


def _cells(row: Row) -> list[tuple[str, str]]:
    """The row one entry a cell; a wide character fills two."""
    cells: list[tuple[str, str]] = []
    for text, role in row:
        if cell_len(text) == len(text):
            cells += [(character, role) for character in text]
        else:
            for character in text:
                cells.append((character, role))
                cells += [("", role)] * (cell_len(character) - 1)
    return cells


def end_of(path: str, width: int) -> str:
    """A path in at most `width` cells: its end tells more than its beginning."""
    path = one_line(path)
    if cell_len(path) <= width:
        return path
    lead = ellipsis()
    while path and cell_len(path) + len(lead) > width:
        path = path[1:]
    return lead + path
