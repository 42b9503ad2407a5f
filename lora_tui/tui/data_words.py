"""What the data screen says in words: what was found, what it is doing, or why it failed."""

from collections.abc import Iterator, Sequence

from lora_tui.core.text import one_line
from lora_tui.tui import look, row_text
from lora_tui.tui.columns import arrow, cut, left, plain
from lora_tui.tui.data_frames import Findings, Frame
from lora_tui.tui.look import ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows, end_of

_LABEL = 10

Changes = Sequence[tuple[str, str, str]]
"""Keys of the preset that were changed here, what they were, and what they are."""


def figures(frame: Frame, changes: Changes, width: int) -> Rows:
    """The text of the figures' half, in lines of `width` cells."""
    return (*changed(changes, width), *_body(frame, width))


def changed(changes: Changes, width: int) -> Iterator[Row]:
    """What was changed in the preset, a line each."""
    for key, old, new in changes:
        words = f"{one_line(old)} {arrow()} {one_line(new)}"
        yield (f"{key}  ", "muted"), (cut(words, width - len(key) - 2), "accent")
    if changes:
        yield ()


def _body(frame: Frame, width: int) -> Iterator[Row]:
    if frame.failure:
        yield from _failed(frame, width)
    elif frame.findings:
        yield from _found(frame.findings, width)
    else:
        doing = frame.doing.replace("…", "...") if ascii_only() else frame.doing
        yield ((f"{glyph('running')} {doing}", "accent"),)
    if frame.first and not frame.findings:
        yield ()
        yield ((f"the first {len(frame.first)} rows, as they came", "muted"),)
        yield ()
        yield from row_text.first_rows(list(frame.first), width)


def _failed(frame: Frame, width: int) -> Iterator[Row]:
    assert frame.failure
    summary, hint = frame.failure
    yield from _wrapped(f"{glyph('failed')} ", summary, width, "bad")
    if hint:
        yield from _wrapped("  ", hint, width, "text")
    yield ()
    maps = about_columns(frame)
    yield (("  r", "accent"), (" reads anew", "muted")) + (
        (("  m", "accent"), (" says which column is what", "muted")) if maps else ()
    )


def about_columns(frame: Frame) -> bool:
    """Whether what went wrong has to do with the columns of the data."""
    return frame.failure is not None and "column" in " ".join(frame.failure).lower()


def _found(findings: Findings, width: int) -> Iterator[Row]:
    mark = look.warning()
    for at, warning in enumerate(findings.warnings):
        is_bad = not (findings.kept or at)
        sign, role = (glyph("failed"), "bad") if is_bad else (mark, "warn")
        yield from _wrapped(f"{sign} ", warning, width, role)
    if not findings.warnings:
        yield (f"{glyph('finished')} ", "good"), (cut("nothing odd was found", width - 2), "text")
    yield ()
    for name, value in findings.facts:
        if name == "source":
            path = plain(end_of(value, max(8, width - _LABEL)))
            yield (left(name, _LABEL), "muted"), (path, "text")
        else:
            yield from _wrapped(left(name, _LABEL), value, width, "muted")


def _wrapped(start: str, text: str, width: int, role: str) -> Iterator[Row]:
    """A mark or a name, and a text beside it in as many lines as it takes."""
    room = max(4, width - len(start))
    for line in row_text.wrapped(plain(one_line(text)), room):
        yield (start, role), (line, "text")
        start = " " * len(start)
