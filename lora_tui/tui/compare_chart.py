"""Several runs' curves on one chart, and how much each layer moved: finished lines of text.

Pure, and run in a worker thread, as `chart` is. Members are told apart by letters, not colours.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lora_tui.core.series import Points
from lora_tui.core.text import number, share
from lora_tui.tui.chart import (
    AXES_IN_ASCII,
    Canvas,
    averaged,
    lines_of,
    logarithms,
    new_figure,
    note,
    split,
    usable,
)
from lora_tui.tui.columns import cut, right, width_of
from lora_tui.tui.scales import Axis, fitted_axis, log_axis, value_axis
from lora_tui.tui.widgets.painting import Row, Rows

_LEAST_CHART = 6  # lines
_APART = 12  # cells between two letters on a line, at least
_LONGEST_NAME = 24
_GAP = 4
_SPANS = ((3 * 3600.0, 3600.0, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


@dataclass(frozen=True, slots=True)
class Curve:
    """One member's curve; where there is none it says why."""

    tag: str
    name: str
    points: Points
    why_none: str = ""


@dataclass(frozen=True, slots=True)
class Drawing:
    """How curves are drawn: `chosen` is the letter of the one that is looked at."""

    width: int
    height: int
    axis: str = "step"
    log: bool = False
    smooth: bool = True
    chosen: str = ""
    ascii_only: bool = False


def unit_of(axis: str, curves: Sequence[Curve]) -> tuple[float, str]:
    """In what the axis counts, and how that is called: time in what suits its length."""
    if axis != "seconds":
        return 1.0, axis
    longest = max((curve.points[-1][0] for curve in curves if curve.points), default=0.0)
    return next((unit, name) for least, unit, name in _SPANS if longest >= least)


def overlay(curves: Sequence[Curve], how: Drawing) -> Rows:
    """The curves over each other, and below them whose letter is whose."""
    unit, _ = unit_of(how.axis, curves)
    scaled = {
        curve.tag: usable(tuple((x / unit, y) for x, y in curve.points), log=how.log)
        for curve in curves
    }
    drawn = {tag: points for tag, points in scaled.items() if points}
    legend = tuple(_legend(curves, how, drawn))
    height = how.height - len(legend)
    if not drawn:
        return (*note(_why_none(curves, how), how.width, max(2, height - 1)), (), *legend)
    if how.width < 20 or height < _LEAST_CHART:
        return legend
    lines, frame = _lines(drawn, how, height)
    return (*_layers(lines, frame, how, height), *legend)


def _why_none(curves: Sequence[Curve], how: Drawing) -> str:
    if how.log and any(curve.points for curve in curves):
        return "nothing above zero: no log scale"
    return "no curve to draw" if curves else "no run to draw a curve of"


def _lines(drawn: dict[str, Points], how: Drawing, height: int) -> tuple[dict[str, Points], Canvas]:
    """One value a dot column of each, and the canvas that holds them all."""
    across = fitted_axis(max(points[-1][0] for points in drawn.values()), how.width)
    if how.log:
        drawn = {tag: logarithms(points) for tag, points in drawn.items()}
    guess = Canvas(across, Axis(-1e30, 1e30, (), ()), 6, max(1, how.width - 6), height - 2)
    rough = _smoothed(drawn, guess, how)
    values = [value for points in rough.values() for _, value in points]
    ends = [points[-1][1] for points in rough.values()]
    if how.log:
        up = log_axis([10**one for one in values], [10**one for one in ends], height)
    else:
        up = value_axis(values, ends, height)
    room = max(map(len, up.labels), default=0) + 1
    frame = Canvas(across, up, room, max(1, how.width - room), height - 2)
    return _smoothed(drawn, frame, how), frame


def _smoothed(drawn: dict[str, Points], frame: Canvas, how: Drawing) -> dict[str, Points]:
    if not how.smooth:
        return drawn
    fine = 1 if how.ascii_only else 2
    return {tag: averaged(points, frame, fine, smooth=True) for tag, points in drawn.items()}


def _layers(lines: dict[str, Points], frame: Canvas, how: Drawing, height: int) -> Rows:
    """Axes, then the lines, the chosen one last, then all letters: what is above hides the rest."""
    axes = lines_of(new_figure(how.width, height, frame))
    if how.ascii_only:
        axes = [line.translate(AXES_IN_ASCII) for line in axes]
    cells = [[(character, "muted") for character in line.ljust(how.width)] for line in axes]
    for tag in sorted(lines, key=lambda tag: tag == how.chosen):
        figure = new_figure(frame.width, frame.height, frame)
        stroke = "." if how.ascii_only else "braille"
        figure.draw(figure.signal(*split(lines[tag]), marker=stroke).lines(True))
        lay(cells, lines_of(figure), frame, "accent" if tag == how.chosen else "faint")
    letters = new_figure(frame.width, frame.height, frame)
    for at, (tag, points) in enumerate(lines.items()):
        letters.draw(letters.signal(*split(_places(points, frame, at, len(lines))), marker=tag))
    lay(cells, lines_of(letters), frame, "text", strong=how.chosen)
    return tuple(tuple(pieces(row)) for row in cells)


def _places(points: Points, frame: Canvas, at: int, number_of_lines: int) -> Points:
    """Where a line has its letter: apart from each other, and from the letters of other lines."""
    apart = max(_APART, 3 * number_of_lines)
    scale = (frame.width - 1) / frame.across.high
    wanted = 2 + at * apart / number_of_lines
    kept = []
    for point in points:
        if point[0] * scale >= wanted:
            kept.append(point)
            wanted += apart * max(1, math.ceil((point[0] * scale - wanted + 1) / apart))
    return tuple(kept) or points[-1:]


Cell = tuple[str, str]


def lay(
    cells: list[list[Cell]], over: list[str], frame: Canvas, role: str, *, strong: str = ""
) -> None:
    """Lay a drawing over what is there; `strong` is a character that stands out."""
    for y, line in enumerate(over[: frame.height]):
        for x, character in enumerate(line[: frame.width]):
            if character != " ":
                look = "strong" if character == strong else role
                cells[y][frame.left + x] = (character, look)


def pieces(row: Sequence[Cell]) -> Iterator[Cell]:
    """Neighbours of one colour together; a blank takes that of its neighbour."""
    text, role = "", ""
    for character, look in row:
        if character == " " or look == role or not text:
            text, role = text + character, role if character == " " and text else look
        else:
            yield text, role
            text, role = character, look
    yield text.rstrip(), role


def _legend(curves: Sequence[Curve], how: Drawing, drawn: dict[str, Points]) -> Iterator[Row]:
    """Letters with their names and latest values, in as many columns as have room."""
    entries = []
    for curve in curves:
        points = drawn.get(curve.tag)
        said = number(float(_latest(points, how))) if points else curve.why_none or "none"
        entries.append((curve.tag, f" {cut(curve.name, _LONGEST_NAME)}  ", said))
    widest = max((width_of("".join(parts)) for parts in entries), default=0)
    in_a_row = max(1, (how.width + _GAP) // (widest + _GAP))
    for start in range(0, len(entries), in_a_row):
        row: list[tuple[str, str]] = []
        for tag, name, said in entries[start : start + in_a_row]:
            role = "accent" if tag == how.chosen else "muted"
            gap = " " * (widest + _GAP - width_of(tag + name + said))
            row += ((tag, "strong"), (name, role), (said + gap, "text"))
        yield tuple(row)


def _latest(points: Points, how: Drawing) -> float:
    """The last value; of noisy losses the mean of the last twentieth."""
    last = points[-max(1, len(points) // 20) :] if how.smooth else points[-1:]
    return sum(value for _, value in last) / len(last)


# --- how much each layer moved ------------------------------------------------------------------

_SHADES, _DIGITS = "░▒▓█", "123456789"
_WIDEST_LAYER = 4


@dataclass(frozen=True, slots=True)
class Heat:
    """One member's figure of each layer, from the first on."""

    tag: str
    name: str
    values: tuple[float, ...]


def heat(members: Sequence[Heat], width: int, *, ascii_only: bool) -> Rows:
    """A row a member, darker where it moved more, on one scale for all; and the scale."""
    layers = max((len(one.values) for one in members), default=0)
    most = max((value for one in members for value in one.values if _is_plain(value)), default=0)
    room = min(_LONGEST_NAME, max(width_of(one.name) + 2 for one in members) if members else 0)
    if not layers or width - room < 8:
        return ()
    room = min(room, width // 3)
    together = math.ceil(layers / (width - room - 1))
    groups = math.ceil(layers / together)
    wide = min(_WIDEST_LAYER, (width - room - 1) // groups)
    names = [cut(f"{one.tag} {one.name}", room) for one in members]
    name = max(map(width_of, names))
    frame = _frame(len(members), groups, wide, together)
    figure = new_figure(frame.left + frame.width, len(members) + 2, frame)
    levels = _DIGITS if ascii_only else _SHADES
    placed: dict[str, list[tuple[float, float]]] = {}
    for y, one in enumerate(members):
        for at in range(math.ceil(len(one.values) / together)):
            sign = _sign(one.values[at * together : (at + 1) * together], most, levels)
            height = float(len(members) - 1 - y)
            placed.setdefault(sign, []).extend((at * wide + x, height) for x in range(wide))
    for sign, points in placed.items():
        figure.draw(figure.signal(*split(tuple(points)), marker=sign))
    lines = lines_of(figure)
    if ascii_only:
        lines = [line.translate(AXES_IN_ASCII) for line in lines]
    # plotext counts characters, and a name may have wide ones: it is put before the finished line.
    rows = [
        (
            (right(names[y], name) + line[1 : frame.left], "text"),
            (line[frame.left :].rstrip(), "accent"),
        )
        if y < len(members)
        else ((" " * (name - 1) + line.rstrip(), "muted"),)
        for y, line in enumerate(lines)
    ]
    return (*rows, _scale(most, levels, together))


def _frame(members: int, groups: int, wide: int, together: int) -> Canvas:
    """One cell a unit: plotext's limits are the middles of the outermost cells.

    A member has a character beside the axis, where its name is to stand.
    """
    every = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if step * wide / together >= 4)
    marks = range(0, groups * together, every)
    across = Axis(
        0, groups * wide - 1, tuple(float(m // together * wide) for m in marks), _words(marks)
    )
    last = members - 1
    low, high = (0.0, float(last)) if last else (-0.5, 0.5)
    up = Axis(low, high, tuple(map(float, range(members))), ("x",) * members)
    return Canvas(across, up, 2, groups * wide, members)


def _words(marks: range) -> tuple[str, ...]:
    return tuple(map(str, marks))


def _is_plain(value: float) -> bool:
    return math.isfinite(value)


def _sign(values: Sequence[float], most: float, levels: str) -> str:
    """The largest of neighbouring layers as a shade; a point for none."""
    if not all(map(_is_plain, values)):
        return "?"
    value = max(values)
    if value <= 0 or most <= 0:
        return "." if levels is _DIGITS else "·"
    return levels[min(len(levels) - 1, math.ceil(value / most * len(levels)) - 1)]


def _scale(most: float, levels: str, together: int) -> Row:
    none = "." if levels is _DIGITS else "·"
    shown = levels if levels is _SHADES else levels[::2]
    steps = [f"{sign} to {share(most * (levels.index(sign) + 1) / len(levels))}" for sign in shown]
    many = f"   {together} layers a cell" if together > 1 else ""
    return ((f"{none} none   {'   '.join(steps)}{many}", "muted"),)
