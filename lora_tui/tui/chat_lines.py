"""A conversation as lines of text: each turn with its answers, below or beside one another. Pure.

What was asked and answered is shown and never obeyed.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from lora_tui.core import text
from lora_tui.core.chat import (
    CANCELLED,
    MAX_NEW_TOKENS,
    MODEL_LIMIT,
    UNANSWERED,
    Answer,
    Chat,
    Seat,
    Turn,
)
from lora_tui.core.members import BASE
from lora_tui.tui import look, row_text
from lora_tui.tui.chat_words import name_of
from lora_tui.tui.columns import cut, dot, width_of
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.painting import Row, Rows

_GUTTER = 2
_PROMPT_LINES = 16
_BESIDE = 36  # cells that an answer needs to stand beside others
_GAP = 3


class Lines:
    """Lays out a chat's turns; those that did not change are not laid out again."""

    def __init__(self) -> None:
        self._laid_out: tuple[int, Any] = (0, None)  # the width, and what was known of exactness
        self._kept: dict[int, tuple[Turn, Rows]] = {}

    def of(self, chat: Chat, turns: Sequence[Turn], width: int) -> Rows:
        """The lines of `turns`, each at most `width` cells."""
        laid_out = width, chat.loaded.get("dtype")
        if laid_out != self._laid_out:
            self._laid_out = laid_out
            self._kept.clear()
        rows: list[Row] = []
        for turn in turns:
            kept = self._kept.get(turn.number)
            if kept is None or kept[0] != turn:
                kept = turn, tuple(_turn(chat, turn, width))
                self._kept[turn.number] = kept
            rows += kept[1]
        return tuple(rows[:-1])  # the last line parts a turn from the next


def _turn(chat: Chat, turn: Turn, width: int) -> Iterator[Row]:
    yield from _prompt(turn.prompt, width)
    several = len(turn.to) > 1
    if several:
        yield ((" " * _GUTTER + cut(_together(chat, turn), width - _GUTTER), "muted"),)
    yield ()
    beside = (width + _GAP) // len(turn.to) - _GAP if turn.to else 0
    if several and beside >= _BESIDE:
        yield from _side_by_side([[*_answer(chat, turn, id_, beside)] for id_ in turn.to], beside)
        yield ()
        return
    for id_ in turn.to:
        yield from _answer(chat, turn, id_, width)
        yield ()


def _prompt(prompt: str, width: int) -> Iterator[Row]:
    mark = "> " if ascii_only() else "› "
    lines = [
        piece
        for line in row_text.calm(prompt).split("\n")
        for piece in row_text.wrapped(line, width - _GUTTER)
    ]
    for line in lines[:_PROMPT_LINES]:
        yield (mark, "accent"), (line, "strong")
        mark = " " * _GUTTER
    if len(lines) > _PROMPT_LINES:
        words = f"({len(lines) - _PROMPT_LINES:,} lines more; all of it was asked)"
        yield ((" " * _GUTTER + cut(words, width - _GUTTER), "muted"),)


def _together(chat: Chat, turn: Turn) -> str:
    """How several were asked, and how fast they were in sum."""
    answers = [turn.answer(id_) for id_ in turn.to]
    done = [one for one in answers if one.tokens is not None and one.seconds is not None]
    words = f"asked {len(turn.to)} at once"
    if not done:
        return words
    if all(one.mixed for one in done):
        words += f"{dot()}one mixed batch"
        if dtype := chat.loaded.get("dtype"):
            words += ", exact" if chat.is_exact else f", not exact in {dtype}"
        seconds = max(one.seconds or 0.0 for one in done)
    else:
        words += f"{dot()}one after the other"
        seconds = sum(one.seconds or 0.0 for one in done)
    tokens = sum(one.tokens or 0 for one in done)
    if len(done) < len(answers) or not seconds:
        return words
    return f"{words}{dot()}{text.number(float(tokens / seconds))} tokens/s"


def _answer(chat: Chat, turn: Turn, id_: str, width: int) -> Iterator[Row]:
    answer = turn.answer(id_)
    name, (facts, role) = name_of(chat.seats, id_), _facts(turn, id_, answer)
    while len(facts) > 1 and width_of(name + dot().join(facts)) + 2 > width:
        facts = facts[:-1]
    said = cut(dot().join(facts), width - 10)
    name = cut(name, max(8, width - width_of(said) - 2))
    gap = " " * max(1, width - width_of(name) - width_of(said))
    yield (name, "accent"), (gap, "text"), (said, role)
    if answer.text:
        for line in row_text.calm(answer.text).split("\n"):
            for piece in row_text.wrapped(line, width - _GUTTER):
                yield ((" " * _GUTTER + piece, "text"),)
    elif answer.ended != UNANSWERED:
        word = "(nothing)" if answer.ended else ("..." if ascii_only() else "…")
        yield ((" " * _GUTTER + word, "muted"),)
    for key in ("summary", "hint"):
        words = row_text.calm(answer.failure.get(key, "")).strip()
        for line in words.split("\n") if words else ():
            for piece in row_text.wrapped(line, width - _GUTTER):
                yield ((" " * _GUTTER + piece, "bad" if key == "summary" else "muted"),)


def _facts(turn: Turn, id_: str, answer: Answer) -> tuple[list[str], str]:
    """What is said at the right of a name, the weightiest first: how it ended, speed, tokens."""
    warning = look.warning()
    if answer.ended == UNANSWERED:
        return [f"{'x' if ascii_only() else '✗'} not answered"], "bad"
    facts, role = list[str](), "muted"
    if answer.ended == CANCELLED:
        facts, role = [f"{warning} ended by you"], "warn"
    elif answer.ended == MAX_NEW_TOKENS:
        facts, role = [f"{warning} cut at max new tokens"], "warn"
    elif answer.ended == MODEL_LIMIT:
        facts, role = [f"{warning} cut at the model's limit"], "warn"
    base = turn.answer(BASE)
    if id_ != BASE and BASE in turn.to and answer.ended and base.ended and base.text == answer.text:
        facts.append("as the base")
    if (speed := answer.tokens_per_second) is not None:
        facts.append(f"{text.number(float(speed))} tokens/s")
    if answer.tokens is not None:
        facts.append(f"{answer.tokens:,} token{'s' * (answer.tokens != 1)}")
    return facts, role


def _side_by_side(columns: list[list[Row]], width: int) -> Iterator[Row]:
    for cells in zip_longest(*columns, fillvalue=()):
        row: list[tuple[str, str]] = []
        for at, cell in enumerate(cells):
            if at:
                row.append((" " * _GAP, "text"))
            row += cell
            used = sum(width_of(part) for part, _ in cell)
            row.append((" " * (width - used), "text"))
        yield tuple(row)


def nothing_yet(seats: Sequence[Seat], width: int) -> Rows:
    """What to do in an empty conversation."""
    many = len(seats) > 1
    words = ["Nothing is asked yet. Type below, and enter asks the marked member."]
    if many:
        words += [
            "ctrl+t asks the base and every adapter at once.",
            "tab goes to the next member; esc, then its number, to any.",
        ]
    rows = [((line, "muted"),) for text_ in words for line in row_text.wrapped(text_, width)]
    return tuple(rows)
