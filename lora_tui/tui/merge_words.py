"""The lines of a merge that is edited, and what stands below them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from textual.content import Content

from lora_tui.core import locations, text
from lora_tui.core.members import Member
from lora_tui.core.merging import METHODS
from lora_tui.core.settings import in_words
from lora_tui.core.text import one_line
from lora_tui.tui import look
from lora_tui.tui.columns import Part, cut, left, plain, right, width_of
from lora_tui.tui.compare_words import name_of, paragraph
from lora_tui.tui.look import glyph
from lora_tui.tui.merge_draft import Draft, key_of
from lora_tui.tui.merge_outlook import Facts, Outlook
from lora_tui.tui.widgets.painting import Row, Rows, end_of

GAP = "gap"
"""The line between members and settings, on which no cursor stands."""

_MUTED = "$foreground-muted"
_LABEL, _VALUE = 14, 16
_COLUMNS = (("rank", 6), ("alpha", 7), ("kind", 9))
_WEIGHT = 9
_NAME = (12, 24)  # cells below which a name gives way no more, and that short names take too
_LABELS = {"dtype": "number format", "out": "where to"}
_NOTES = {
    "density": "the share of the entries that is kept",
    "rank": "of the result; 0 for the largest there is",
    "seed": "of what is dropped by chance",
}
_FORMATS = {
    "bfloat16": "16 bits, with the range of float32",
    "float16": "16 bits, up to 65,504",
    "float32": "32 bits",
}


def tag(at: int) -> str:
    """The letter of a member, the same before and after."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return letters[at] if at < len(letters) else "*"


def what(method: str) -> str:
    """What a method does, in a few words; the ranks it takes are told where they do not fit."""
    return METHODS[method].partition("; ")[0]


@dataclass(frozen=True, slots=True)
class MemberLine:
    """An adapter: its name, how it was made, how much of it goes in."""

    key: str
    name: str
    cells: tuple[str, ...]
    weight: str | None
    longest: int

    def content(self, width: int) -> Content:
        return Content.assemble(*_across(self.name, self.cells, self.weight, self.longest, width))


@dataclass(frozen=True, slots=True)
class SettingLine:
    """A setting: its name, its value, and what that means where it has room."""

    key: str
    label: str
    value: str
    note: str = ""

    def content(self, width: int) -> Content:
        label = left(self.label, min(_LABEL, width))
        room = max(0, width - _LABEL)
        if not self.value:  # a path, whose end tells more than its beginning
            return Content.assemble(label, end_of(plain(self.note), room))
        value = left(self.value, min(_VALUE, room))
        room = max(0, room - _VALUE)
        shorten = end_of if self.key == "out" else cut
        return Content.assemble(label, value, (shorten(plain(self.note), room), _MUTED))


@dataclass(frozen=True, slots=True)
class GapLine:
    """Nothing."""

    key: str = GAP

    def content(self, width: int) -> Content:
        return Content(" " * width)


Line = MemberLine | SettingLine | GapLine


def _across(
    name: str, cells: Sequence[str], weight: str | None, longest: int, width: int
) -> Iterator[Part]:
    """A line of the table of members; columns that have no room are left out from the right."""
    room = width - (_WEIGHT if weight is not None else 0)
    shown = len(_COLUMNS)
    while shown and room - sum(wide for _, wide in _COLUMNS[:shown]) < _NAME[0]:
        shown -= 1
    room -= sum(wide for _, wide in _COLUMNS[:shown])
    yield left(name, min(room, max(longest, _NAME[1]))), ""
    for cell, (_, wide) in zip(cells[:shown], _COLUMNS, strict=False):
        yield right(cell, wide), _MUTED
    if weight is not None:
        yield right(weight, _WEIGHT), ""


def head(draft: Draft, width: int) -> Row:
    """What the columns are."""
    weight = "weight" if draft.has_weights else None
    parts = _across("adapter", [name for name, _ in _COLUMNS], weight, _longest(draft), width)
    return ((" ", "muted"), *((said, "muted") for said, _ in parts))


def lines(draft: Draft, outlook: Outlook | None) -> list[Line]:
    """The form: a line an adapter, a line a setting."""
    found: list[Line] = []
    facts, longest = outlook.facts if outlook else {}, _longest(draft)
    for at, member in enumerate(draft.plan.members):
        weight = text.number(draft.plan.weights[at]) if draft.has_weights else None
        cells = _cells(facts.get(member.id))
        found.append(MemberLine(key_of(member), _named(at, member), cells, weight, longest))
    found.append(GapLine())
    found += (_setting(draft, key, outlook) for key in draft.keys if draft.place_of(key) is None)
    return found


def _named(at: int, member: Member) -> str:
    return f"{tag(at)} {one_line(name_of(member))}"


def _longest(draft: Draft) -> int:
    return max(width_of(_named(at, one)) for at, one in enumerate(draft.plan.members))


def _cells(facts: Facts | None) -> tuple[str, ...]:
    if facts is None:
        return "", "", ""
    alpha = "-" if facts.alpha is None else f"{facts.alpha:g}"
    return text.number(facts.rank), alpha, facts.kind


def _setting(draft: Draft, key: str, outlook: Outlook | None) -> SettingLine:
    value = in_words(draft.value(key))
    label = _LABELS.get(key, key)
    if key == "out":
        return SettingLine(key, label, *_where(draft))
    if key == "method":
        return SettingLine(key, label, value, what(draft.plan.method))
    if key == "dtype":
        own = outlook.own if outlook else ""
        note = _FORMATS.get(value, f"the base's own{f': {own}' if own else ''}")
        return SettingLine(key, label, value, note)
    return SettingLine(key, label, value, _NOTES[key])


def _where(draft: Draft) -> tuple[str, str]:
    if draft.out:
        return "", str(draft.folder)
    if draft.usual is not None:
        return "in its run", str(draft.usual)
    return "a new folder", f"in {locations.merges_folder()}"


# --- below the lines --------------------------------------------------------------------------


def follows(outlook: Outlook | None, width: int) -> Rows:
    """Size and room, what is replaced, and all that is wrong."""
    if outlook is None:
        return ()
    return tuple(_follows(outlook, width))


def _follows(outlook: Outlook, width: int) -> Iterator[Row]:
    total = sum(outlook.draft.plan.weights)
    if not math.isclose(total, 1):  # nothing wrong with it, but seldom what is meant
        said = f"add up to {text.number(total)}"
        yield from paragraph(f" {left('weights', _LABEL)}", said, width, "text")
    if outlook.bytes is not None:
        free = f", of {text.size(outlook.free)} free there" if outlook.free is not None else ""
        said = f"{text.size(outlook.bytes)}{free}"
        yield from paragraph(f" {left('size', _LABEL)}", said, width, "text")
    if outlook.earlier or outlook.problems:
        yield ()
    if outlook.earlier:
        said = f"The merge of {outlook.earlier} that stands there is replaced."
        yield from paragraph(f" {look.warning()} ", said, width, "warn")
    for problem in outlook.problems:
        yield from paragraph(f" {glyph('failed')} ", problem, width, "bad")


def foot(outlook: Outlook | None) -> Row:
    """What it comes to, in one line."""
    if outlook is None:
        dots = "..." if look.ascii_only() else "…"
        return ((f"{glyph('running')} looking at the adapters{dots}", "accent"),)
    number = len(outlook.problems)
    if number:
        words = "1 thing is" if number == 1 else f"{number} things are"
        return ((f"{glyph('failed')} {words} in the way", "bad"), ("  see above", "muted"))
    said = "t merges them" if outlook.draft.has_weights else "t merges it"
    return ((f"{glyph('finished')} nothing is in the way", "good"), (f"  {said}", "muted"))
