"""The answers to one prompt, side by side, with what differs from the base's marked."""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from rich.cells import cell_len

from lora_tui.core.comparison import Comparison, Prompt
from lora_tui.tui import look, row_text
from lora_tui.tui.columns import cut, dot, left
from lora_tui.tui.compare_words import how_asked, refusal, tagged
from lora_tui.tui.look import ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows

Piece = tuple[str, str]

LEAST = 36  # cells of a column
_GAP = 2
_PROMPT_LINES = 3
_MOST_PAIRS = 160_000  # words of two answers that are compared: where all are alike, seconds
_MOST_TEXT = 100_000


def lay_out(
    comparison: Comparison, at: int, chosen: int, *, width: int, height: int
) -> tuple[Rows, Rows]:
    """What is asked, which stays on top, and the answers below it, the base's first."""
    if not comparison.prompts:
        said = "No prompt was asked." if comparison.ended else "The prompts are not chosen yet."
        return (), (((said, "muted"),),)
    at = min(at, len(comparison.prompts) - 1)
    prompt = comparison.prompts[at]
    lines = [
        piece
        for line in row_text.calm(prompt.text[:_MOST_TEXT]).split("\n")
        for piece in row_text.wrapped(line, width)
    ]
    short = lines[:_PROMPT_LINES]
    is_cut = len(lines) > len(short)
    if is_cut:
        more = "~" if ascii_only() else "…"
        short[-1] = left(short[-1], width - 2).rstrip() + f" {more}"
    where = f"prompt {at + 1} of {len(comparison.prompts)}"
    how = how_asked(comparison.settings)
    beside = cut(f"{dot()}{how}", width - len(where) - 1) if how else ""
    first: Row = ((where, "strong"), (f" {beside}", "muted"))
    head = (first, *(((line, "accent"),) for line in short), ())
    body = _answers(comparison, prompt, chosen, width, height - len(head))
    whole: Rows = ()
    if is_cut:
        whole = ((), (("the whole prompt", "muted"),), *(((line, "text"),) for line in lines))
    return head, (*body, *whole)


def _answers(comparison: Comparison, prompt: Prompt, chosen: int, width: int, height: int) -> Rows:
    """All answers in columns if they have room; else beside the base as many as there are columns.

    Where two columns have no room they stand one below the other.
    """
    columns = range(len(comparison.columns))
    number = min(len(columns), (width + _GAP) // (LEAST + _GAP))
    if number < 2:
        blocks = [_block(comparison, prompt, at, width, chosen) for at in columns]
        return tuple(row for block in blocks for row in (*block, ()))
    base = comparison.base_of(comparison.columns[chosen])
    first = comparison.columns.index(base) if base else 0
    others = [at for at in columns if at != first]
    room = (width + _GAP) // number - _GAP
    blocks = [_block(comparison, prompt, at, room, chosen) for at in (first, *others)]
    everything: list[Row] = []
    for start in range(1, len(blocks), number - 1):
        lead = blocks[0] if start == 1 else ()
        everything += (*_beside([lead, *blocks[start : start + number - 1]], room), ())
    if len(everything) - 1 <= height:
        return tuple(everything[:-1])
    place = others.index(chosen) if chosen in others else 0
    start = 1 + max(0, min(place - number + 2, len(others) - number + 1))
    rows = tuple(_beside([blocks[0], *blocks[start : start + number - 1]], room))
    hidden = len(blocks) - number
    if not hidden:
        return rows
    keys = "left and right show the others" if ascii_only() else "← → show the others"
    return (*rows, (), ((f"{hidden} more{dot()}{keys}", "muted"),))


def _beside(blocks: Sequence[Rows], room: int) -> Iterator[Row]:
    """Blocks of `room` cells next to each other."""
    for y in range(max(map(len, blocks))):
        row: list[Piece] = []
        for at, block in enumerate(blocks):
            pieces = block[y] if y < len(block) else ()
            row += pieces
            used = sum(cell_len(text) for text, _ in pieces)
            if at < len(blocks) - 1:
                row.append((" " * (room - used + _GAP), "text"))
        yield tuple(row)


def _block(comparison: Comparison, prompt: Prompt, at: int, width: int, chosen: int) -> Rows:
    """One member's answer below its name."""
    column = comparison.columns[at]
    name = tagged(comparison, at)
    cursor = look.cursor() if at == chosen else " "
    output = prompt.outputs.get(column.member.id)
    role = "accent" if at == chosen else "strong"
    if output is None:
        said = "not asked" if comparison.ended else "not asked yet"
        words = refusal(column) if column.refused else said
        sign = f"{glyph('failed')} " if column.refused else ""
        lines: Rows = tuple(
            ((line, "bad" if column.refused else "muted"),)
            for line in row_text.wrapped(cut(sign + words, 4 * width), width)
        )
        return (((cut(cursor + name, width), role),), *lines)
    base = comparison.base_of(column)
    its_base = prompt.outputs.get(base.member.id) if base and not column.is_base else None
    pieces, beside = _compared(
        output[:_MOST_TEXT], its_base, column.member.id in prompt.changed, in_ascii=ascii_only()
    )
    title = cut(cursor + name, max(8, width - len(beside) - 2))
    head: Row = ((title, role), (f"  {beside}", "muted")) if beside else ((title, role),)
    return (head, *_wrapped(pieces, width))


@lru_cache(maxsize=256)  # one answer is laid out anew at every key
def _compared(
    output: str, base: str | None, is_changed: bool, *, in_ascii: bool
) -> tuple[Sequence[Piece], str]:
    """The answer in pieces, those that the base did not say marked; and the difference in words."""
    words = _words(row_text.calm(output))
    if not output.strip():
        return [("(it said nothing)", "muted")], "" if base is None else _sign(is_changed, in_ascii)
    if base is None:
        return [(word, "text") for word in words], ""
    before = _words(row_text.calm(base[:_MOST_TEXT]))
    if words == before:
        return [(word, "text") for word in words], _sign(is_changed, in_ascii)
    places = [at for at, word in enumerate(words) if not word.isspace()]
    ours, theirs = [words[at] for at in places], [word for word in before if not word.isspace()]
    if len(ours) * len(theirs) > _MOST_PAIRS:
        return [(word, "text") for word in words], f"{_sign(True, in_ascii)}, too long to mark"
    is_new = [not word.isspace() for word in words]
    for match in SequenceMatcher(None, theirs, ours, autojunk=False).get_matching_blocks():
        for at in places[match.b : match.b + match.size]:
            is_new[at] = False
    return list(_marked(words, is_new, in_ascii)), _sign(True, in_ascii)


def _sign(is_changed: bool, in_ascii: bool) -> str:
    if is_changed:
        return "not the base's" if in_ascii else "≠ the base's"
    return "as the base" if in_ascii else "= the base's"


def _words(text: str) -> list[str]:
    """Words, blanks and line breaks, each on its own; joined they are the text."""
    return re.findall(r"\n|[^\S\n]+|\S+", text)


def _marked(words: Sequence[str], is_new: Sequence[bool], in_ascii: bool) -> Iterator[Piece]:
    """New words underlined, or in brackets where a terminal may have no underline."""
    for at, word in enumerate(words):
        if not is_new[at] or word.isspace():
            yield word, "text"
        elif in_ascii:
            yield f"[{word}]", "text"
        else:
            yield word, "new"


def _wrapped(pieces: Sequence[Piece], width: int) -> Iterator[Row]:
    """Pieces in lines of at most `width` cells, broken at blanks; line breaks are kept."""
    line: list[Piece] = []
    used = 0
    for text, role in pieces:
        if text == "\n":
            yield tuple(line)
            line, used = [], 0
            continue
        if used + cell_len(text) > width and used:
            yield tuple(line)
            line, used = [], 0
            if text.isspace():
                continue
        *before, last = row_text.wrapped(text, width)
        for part in before:
            yield ((part, role),)
        line.append((last, role))
        used += cell_len(last)
    if line:
        yield tuple(line)
