"""Aligned columns of text that came from anywhere: cut and padded by cells, never wrapped."""

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from lora_tui.core.text import one_line, printable
from lora_tui.tui.look import ascii_only

Part = tuple[str, str]


def ellipsis() -> str:
    """What stands for the part that was cut off."""
    return "~" if ascii_only() else "…"


def dot() -> str:
    """What stands between two facts in a line."""
    return " | " if ascii_only() else " · "


def dash() -> str:
    """What stands between a name and what is said of it."""
    return " - " if ascii_only() else " – "


def arrow() -> str:
    """What stands between what was and what is."""
    return "->" if ascii_only() else "→"


def plain(text: str) -> str:
    """`text` of any origin as this terminal can show it, line breaks kept."""
    safe = printable(text)
    return safe.encode("ascii", "replace").decode() if ascii_only() else safe


def width_of(text: str) -> int:
    """Terminal cells that `text` takes."""
    return cell_len(text)


def cut(text: str, width: int) -> str:
    """`text` on one line, in at most `width` cells; what is cut off leaves an ellipsis."""
    text = plain(one_line(text))
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ellipsis() if width > 0 else ""


def left(text: str, width: int) -> str:
    """`text` in exactly `width` cells, from the left."""
    short = cut(text, width)
    return short + " " * (width - cell_len(short))


def right(text: str, width: int) -> str:
    """`text` in exactly `width` cells, at the right: for numbers."""
    short = cut(text, width)
    return " " * (width - cell_len(short)) + short


def ends(start: list[Part], end: list[Part], width: int) -> Content:
    """Parts at both ends of a line; the end gives way when there is no room for both."""
    taken = sum(cell_len(text) for text, _ in start)
    wanted = sum(cell_len(text) for text, _ in end)
    if taken + wanted + 2 > width:
        return Content.assemble(*start)
    return Content.assemble(*start, " " * (width - taken - wanted), *end)
