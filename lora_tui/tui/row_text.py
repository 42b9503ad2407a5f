"""A row of data as lines of text: as it came, or as it is trained on. Pure; run in a thread.

What stands in data is shown and never obeyed. Every line is of one kind, so that a mark at its
start can say which, where there are no colours.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.cells import cell_len

from lora_tui.core.pages import LONGEST_TEXT, Page
from lora_tui.core.text import one_line, printable
from lora_tui.tui.columns import cut, left
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.painting import Row, Rows

_GUTTER = 2
_LONGEST_NAME = 40
_MOST_LINES = 4000
_MOST_MARKS = 3  # accents on one letter

_ROLES = {"trained": "trained", "given": "text", "cut": "lost"}


def marks() -> dict[str, str]:
    """What stands before a line of each kind."""
    if ascii_only():
        return {"trained": "|", "given": " ", "cut": "x"}
    return {"trained": "┃", "given": " ", "cut": "╳"}


def legend() -> Row:
    """What the marks mean."""
    found = marks()
    return (
        (f"{found['trained']} trained", "trained"),
        ("  not trained  ", "text"),
        (f"{found['cut']} ", "text"),
        ("cut off", "lost"),
    )


# --- what is safe to show ----------------------------------------------------------------------

_VISIBLE = {code: chr(0x2400 + code) for code in range(32) if code != 10} | {0x7F: "␡", 9: "    "}
_CALM = _VISIBLE | {
    **dict.fromkeys(range(0xFE00, 0xFE10)),  # these make one glyph of two characters, at a
    **dict.fromkeys(range(0xE0100, 0xE01F0)),  # width on which terminals do not agree
    **dict.fromkeys(range(0x1F3FB, 0x1F400)),
    **{0x1F1E6 + at: chr(65 + at) for at in range(26)},  # flags, as the letters they are made of
}


def calm(text: str) -> str:
    """`text` of any origin, each character as wide as it is everywhere; line breaks stay.

    Control characters are shown as their pictures, and what makes terminals disagree is left out.
    """
    if text.isascii() and text.isprintable():
        return text
    safe = "".join(_steady(printable(text.replace("\r\n", "\n").translate(_CALM))))
    return safe.encode("ascii", "replace").decode() if ascii_only() else safe


def _steady(text: str) -> Iterator[str]:
    """`text` without unknown characters, and towers of accents, which grow over other lines."""
    row = 0
    for character in text:
        if character.isascii():
            row = 0
            yield character
        elif character.isspace():
            yield " " * cell_len(character)
        elif not character.isprintable():
            yield "\N{REPLACEMENT CHARACTER}"
        else:
            row = row + 1 if cell_len(character) == 0 else 0
            if row <= _MOST_MARKS:
                yield character


def wrapped(line: str, width: int) -> Iterator[str]:
    """A line in pieces of at most `width` cells; a blank where it is broken is left out."""
    width = max(2, width)
    while (end := width if line.isascii() else _fitting(line, width)) < len(line):
        blank = line.rfind(" ", end // 2, end + 1)
        yield line[: blank if blank >= 0 else end]
        line = line[blank + 1 if blank >= 0 else end :]
    yield line


def _fitting(line: str, width: int) -> int:
    """How many characters have room; one at least."""
    used = 0
    for at, character in enumerate(line):
        used += cell_len(character)
        if used > width:
            return max(1, at)
    return len(line)


# --- rows --------------------------------------------------------------------------------------


def rendered(page: Page, width: int, longest: int) -> Rows:
    """The text that the model is given; what is trained, and what is cut off, marked."""
    sign, rows = marks(), list[Row]()
    is_cut, at_start = False, True  # of a line of the text, not of the screen
    for text, kind in page.segments:
        if kind == "cut" and text and not is_cut:
            is_cut = True
            rows.append(_cut_line(longest, width))
        lines = calm(text).split("\n")
        for number, line in enumerate(lines):
            ends = number < len(lines) - 1
            if line or (ends and at_start):
                mark = (f"{sign[kind]} ", "muted" if kind == "cut" else _ROLES[kind])
                rows += ((mark, (piece, _ROLES[kind])) for piece in wrapped(line, width - _GUTTER))
            at_start = ends or (at_start and not line)
    if len(page.text) >= LONGEST_TEXT:
        rows.append(_note("the rest of this long row is not shown"))
    return _some(rows)


def _cut_line(longest: int, width: int) -> Row:
    rule = "-" if ascii_only() else "╌"
    words = f"{rule * 3} cut here: the first {longest:,} tokens are trained on "
    return ((words + rule * max(0, width - len(words)), "warn"),)


def raw(row: Mapping[str, Any], width: int) -> Rows:
    """Each column's name, and its value below it."""
    rows: list[Row] = []
    for name, value in row.items():
        if rows:
            rows.append(())
        rows.append(((cut(str(name), min(width, _LONGEST_NAME)), "strong"),))
        for line in calm(_in_words(value)).split("\n"):
            rows += (((" " * _GUTTER + piece, "text"),) for piece in wrapped(line, width - _GUTTER))
        if len(rows) > _MOST_LINES:
            break
    return _some(rows) or (_note("an empty row"),)


def _in_words(value: Any) -> str:
    """A value as text; messages one below the other."""
    if isinstance(value, str):
        return value[: LONGEST_TEXT + 1]
    if isinstance(value, list) and value and all(map(_is_message, value)):
        said = (f"{item.get('role') or item.get('from')}: {_content(item)}" for item in value)
        return "\n".join(said)[:LONGEST_TEXT]
    return json.dumps(value, ensure_ascii=False, indent=1, default=str)[:LONGEST_TEXT]


def _is_message(item: Any) -> bool:
    return (
        isinstance(item, dict)
        and set(item) in ({"role", "content"}, {"from", "value"})
        and all(isinstance(value, str) for value in item.values())
    )


def _content(item: Mapping[str, str]) -> str:
    return item["content"] if "content" in item else item["value"]


def first_rows(rows: list[Mapping[str, Any]], width: int) -> Rows:
    """A few rows as they came, a line a column: what a file holds, at a glance."""
    names = {str(name) for row in rows for name in row}
    wide = min(max((cell_len(one_line(name)) for name in names), default=0), width // 3)
    found: list[Row] = []
    for row in rows:
        if found:
            found.append(())
        for name, value in row.items():
            said = value[:1000] if isinstance(value, str) else _in_words(value)[:1000]
            line = cut(calm(said), max(1, width - wide - 2))
            found.append(((left(str(name), wide) + "  ", "muted"), (line, "text")))
    return tuple(found)


def _note(text: str) -> Row:
    return ((f"({text})", "muted"),)


def _some(rows: list[Row]) -> Rows:
    if len(rows) <= _MOST_LINES:
        return tuple(rows)
    return (*rows[:_MOST_LINES], _note("the rest of this long row is not shown"))
