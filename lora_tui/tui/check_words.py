"""A check in words: a line for each thing looked at, what is wrong with it, and what to do."""

from collections.abc import Iterator, Sequence

from lora_tui.core.items import Item
from lora_tui.core.text import duration, one_line
from lora_tui.tui import row_text
from lora_tui.tui.check_watching import Frame
from lora_tui.tui.columns import left, plain
from lora_tui.tui.data_words import changed
from lora_tui.tui.look import Look, ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows

ORDER = (
    *("preset", "model", "tokenizer", "data", "mask", "disk", "memory", "export", "steps", "time"),
)
"""What a check looks at, in order; what follows on request comes after."""

_LOOKS = {
    "green": (Look("✓", "+", ""), "fine", "good"),
    "yellow": (Look("▲", "!", ""), "look", "warn"),
    "red": (Look("✗", "x", ""), "wrong", "bad"),
}
_NAME = 11
_WORD = 6


def rows(frame: Frame, changes: Sequence[tuple[str, str, str]], width: int) -> Rows:
    """The check in lines of `width` cells, below what was changed in the preset."""
    return (*changed(changes, width), *_all(frame, width))


def _all(frame: Frame, width: int) -> Iterator[Row]:
    told = {item.name for item in frame.items}
    for item in frame.items:
        yield from _item(item, width)
    if frame.looking:
        waiting = f" {duration(frame.seconds)}" if frame.seconds else ""
        words = "..." if ascii_only() else "…"
        yield (
            (f"{glyph('running')} {left(frame.looking, _NAME)}", "accent"),
            (f"looking{words}{waiting}", "muted"),
        )
    for name in ORDER:
        if name not in told and name != frame.looking:
            said = "not looked at" if frame.is_over else ""
            yield ((f"  {left(name, _NAME)}{said}", "muted"),)


def _item(item: Item, width: int) -> Iterator[Row]:
    look, word, role = _LOOKS[item.status]
    sign = look.ascii if ascii_only() else look.glyph
    start = f"{sign} {left(item.name, _NAME)}"
    beside = left(word, _WORD)
    room = max(8, width - len(start) - _WORD)
    for line in _lines(item.detail, room):
        yield (start, role), (beside, role), (line, "text")
        start, beside = " " * len(start), " " * _WORD
    for line in _lines(item.remedy, room):
        yield (start + beside, "text"), (line, "muted")


def _lines(text: str, width: int) -> Iterator[str]:
    for paragraph in text.splitlines():
        yield from row_text.wrapped(plain(one_line(paragraph)), width)


def verdict(frame: Frame) -> Row:
    """What it comes to, in one line."""
    counts = {status: _count(frame.items, status) for status in _LOOKS}
    if not frame.is_over:
        return (("esc leaves; the check ends with it", "muted"),)
    if counts["red"]:
        return ((f"{counts['red']} wrong", "bad"), ("  correct it and press r", "muted"))
    mind = f", {counts['yellow']} to look at" if counts["yellow"] else ""
    seconds = frame.figures.get("seconds")
    takes = f"; about {duration(seconds)}" if isinstance(seconds, float) else ""
    return ((f"nothing is wrong{mind}", "good"), (f"  t trains it{takes}", "muted"))


def _count(items: Sequence[Item], status: str) -> int:
    return sum(item.status == status for item in items)
