"""The table of a comparison, laid out: names on the left stay, members go by as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lora_tui.core import comparison_table
from lora_tui.core.comparison import Comparison
from lora_tui.core.comparison_table import Line
from lora_tui.core.text import one_line
from lora_tui.tui import look, row_text
from lora_tui.tui.columns import cut, left, plain, right, width_of
from lora_tui.tui.compare_words import how_measured, paragraph, tagged, warning_sign
from lora_tui.tui.look import ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows

_LEAST, _MOST = 9, 22  # "✗ refused" has room
_WIDTHS = (_MOST, 18, 14)  # of a column, the widest first that lets all members stand
_GAP = 1
_LABEL = 20
_CELL_LINES = 4


@dataclass(frozen=True, slots=True)
class Grid:
    """Which columns stand where: `shown` of them, each `widths[at]` wide without its mark."""

    label: int
    widths: tuple[int, ...]
    shown: range


def best_mark() -> str:
    """What stands behind the best of a row."""
    return "*" if ascii_only() else "★"


def lay_out(comparison: Comparison, chosen: int, width: int) -> tuple[Rows, Rows]:
    """The heads of the columns, which stay on top, and everything below them."""
    differ = comparison_table.differences(comparison)
    lines = [one for one in comparison_table.table(comparison) if one.name != "method"]
    grid = _grid(comparison, [*differ, *lines], chosen, width)
    body: list[Row] = []
    if differ:
        body += (_heading("what differs", ""), *_differences(differ, grid), ())
    elif sum(bool(column.preset) for column in comparison.columns) > 1:
        body += (_heading("what differs", "nothing in their presets"), ())
    if lines:
        marks = f"{best_mark()} best in its row" if any(line.best for line in lines) else ""
        body += (_heading("cost and result", marks), *(_row(line, grid) for line in lines), ())
    body += _notes(comparison, width)
    return _heads(comparison, grid, chosen), tuple(body)


def _heading(title: str, beside: str) -> Row:
    return (title, "strong"), (f"   {beside}" if beside else "", "muted")


def _grid(comparison: Comparison, lines: Sequence[Line], chosen: int, width: int) -> Grid:
    labels = max((width_of(_label(line.name, _MOST)) for line in lines), default=0)
    label = min(max(labels, _LABEL), max(10, width // 3))
    for most in _WIDTHS:
        widths = tuple(
            min(
                max(_LEAST, width_of(_head(comparison, at, is_chosen=True)), *_cells(lines, at)),
                most,
            )
            for at in range(len(comparison.columns))
        )
        if label + sum(one + 1 + _GAP for one in widths) <= width:
            break
    return Grid(label, widths, _window(widths, chosen, width - label))


def _cells(lines: Sequence[Line], at: int) -> list[int]:
    return [min(width_of(line.cells[at]), _MOST) for line in lines]


def _window(widths: Sequence[int], chosen: int, room: int) -> range:
    """The columns that have room: from the first on, but for as few as let `chosen` be seen."""
    for start in range(len(widths)):
        end, used = start, 0
        while end < len(widths) and used + widths[end] + 1 + _GAP <= room:
            used += widths[end] + 1 + _GAP
            end += 1
        if chosen < max(end, start + 1):
            return range(start, max(end, start + 1))
    return range(0)


def _heads(comparison: Comparison, grid: Grid, chosen: int) -> Rows:
    columns, shown = comparison.columns, grid.shown
    all_fit = len(shown) == len(columns)
    where = "" if all_fit else f"{shown.start + 1}-{shown.stop} of {len(columns)}"
    first: list[tuple[str, str]] = [(left(where, grid.label), "muted")]
    second: list[tuple[str, str]] = [(" " * grid.label, "muted")]
    for at in shown:
        head = _head(comparison, at, is_chosen=at == chosen)
        role = "accent" if at == chosen else "strong"
        first.append((" " * _GAP + right(head, grid.widths[at]) + " ", role))
        words, role = _status(comparison, at)
        second.append((" " * _GAP + right(words, grid.widths[at]) + " ", role))
    return tuple(first), tuple(second)


def _head(comparison: Comparison, at: int, *, is_chosen: bool) -> str:
    cursor = look.cursor() if is_chosen else ""
    return cursor + tagged(comparison, at)


def _status(comparison: Comparison, at: int) -> tuple[str, str]:
    """How a member was made, or that it is measured now, was refused, or has notes."""
    column = comparison.columns[at]
    if column.refused:
        return f"{glyph('failed')} refused", "bad"
    if comparison.doing[0] == column.member.id and not comparison.ended:
        return f"{glyph('running')} running", "accent"
    words = "" if column.is_base else comparison_table.method_of(column)
    if column.is_base:
        words = column.member.base.rstrip("/").rpartition("/")[2]
    if comparison_table.notes(comparison, column):
        return f"{warning_sign()} {words}", "warn"
    return words, "muted"


def _label(name: str, room: int) -> str:
    """A key without its table where the whole has no room."""
    return name if width_of(name) <= room else name.rpartition(".")[2]


def _row(line: Line, grid: Grid) -> Row:
    return ((left(_label(line.name, grid.label), grid.label), "muted"), *_across(line, grid))


def _across(line: Line, grid: Grid) -> Iterator[tuple[str, str]]:
    for at in grid.shown:
        is_best = at in line.best
        role = "strong" if is_best else ("muted" if line.cells[at] in {"-", ""} else "text")
        mark = best_mark() if is_best else " "
        yield " " * _GAP + right(line.cells[at], grid.widths[at]) + mark, role


def _differences(lines: Sequence[Line], grid: Grid) -> Iterator[Row]:
    """A line a key, and more where a value is long: what differs is worth its room."""
    for line in lines:
        wrapped = [_wrapped(cell, grid.widths[at]) for at, cell in enumerate(line.cells)]
        height = max(len(wrapped[at]) for at in grid.shown)
        for number in range(height):
            cells = tuple(cell[number] if number < len(cell) else "" for cell in wrapped)
            name = line.name if not number else ""
            yield _row(Line(name, cells), grid)


def _wrapped(cell: str, width: int) -> list[str]:
    lines = list(row_text.wrapped(plain(one_line(cell)), width))
    if len(lines) > _CELL_LINES:
        lines = [*lines[: _CELL_LINES - 1], cut(" ".join(lines[_CELL_LINES - 1 :]), width)]
    return lines


def _notes(comparison: Comparison, width: int) -> Iterator[Row]:
    """What it comes to in sentences, then all there is to look at."""
    for sentence in comparison_table.summary(comparison):
        yield from paragraph("", sentence, width, "text")
    for at, column in enumerate(comparison.columns):
        for number, note in enumerate(comparison_table.notes(comparison, column)):
            is_bad = bool(column.refused) and not number
            sign = glyph("failed") if is_bad else warning_sign()
            start = f"{sign} {cut(tagged(comparison, at), _MOST)}  "
            yield from paragraph(start, note, width, "bad" if is_bad else "warn")
    for warning in comparison.warnings:
        yield from paragraph(f"{warning_sign()} ", warning, width, "warn")
    if said := how_measured(comparison):
        yield from paragraph("", said, width, "muted", words="muted")
