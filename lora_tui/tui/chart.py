"""A run's curve as finished lines of text. The one place that knows plotext's private names.

Everything here is pure and runs in a worker thread: plotext takes milliseconds to draw, and a third
of a second to import.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

from lora_tui.core.metrics import Snapshot
from lora_tui.core.series import Points
from lora_tui.tui.scales import Axis, log_axis, step_axis, value_axis

Row = tuple[tuple[str, str], ...]
Rows = tuple[Row, ...]

TITLES = {
    "loss": "loss",
    "learning_rate": "learning rate",
    "grad_norm": "gradient norm",
    "speed": "tokens/s",
}

_LARGEST = 1e30
_TINIEST = 1e-30
_DOTS = 4  # raw values shown in one dot column, however many there are
AXES_IN_ASCII = str.maketrans("│┤└┬─├┴┼", "|+++-+++")


@dataclass(frozen=True, slots=True)
class Options:
    """What the reader asked for, and the room there is, in cells."""

    curve: str = "loss"
    log: bool = False
    width: int = 60
    height: int = 16
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where the drawing lies between its axes."""

    across: Axis
    up: Axis
    left: int
    width: int
    height: int


def legend(curve: str, *, ascii_only: bool) -> Row:
    """What the marks mean."""
    raw, line, held_out = (".", "*", "@") if ascii_only else ("⠒", "━", "●")
    if curve == "learning_rate":
        return ()
    row: Row = ((raw, "faint"), (" each step  ", "muted"), (line, "accent"), (" smoothed", "muted"))
    return (
        (*row, ("  ", "muted"), (held_out, "strong"), (" held-out", "muted"))
        if curve == "loss"
        else row
    )


def draw(snapshot: Snapshot, options: Options, waiting: str = "") -> Rows:
    """The curve in at most `options.height` lines of `options.width` cells.

    Where there is none yet it says why, or what the run is doing: `waiting`. Values that are NaN
    or infinite are left out, and on a logarithmic scale those that are not positive.
    """
    if options.width < 4 or options.height < 2:
        return ()
    points = usable(snapshot.curves.get(options.curve, ()), log=options.log)
    evals = usable(snapshot.evals if options.curve == "loss" else (), log=options.log)
    if not points and not evals:
        said = _why_empty(snapshot, options) or waiting or "no steps yet"
        return note(said, options.width, options.height)
    is_smooth = options.curve == "learning_rate"
    frame = _frame(points, evals, snapshot.max_steps, options)
    if options.log:
        points, evals = logarithms(points), logarithms(evals)
    fine = 1 if options.ascii_only else 2  # dot columns in one cell
    raw = () if is_smooth else _thinned(points, frame, fine)
    line = averaged(points, frame, fine, smooth=not is_smooth)
    dot, stroke, spot = (".", "*", "@") if options.ascii_only else ("braille", "braille", "●")
    back = new_figure(options.width, options.height, frame)
    back.draw(back.signal(*split(raw), marker=dot))
    front = new_figure(frame.width, frame.height, frame)
    front.draw(front.signal(*split(line), marker=stroke).lines(True))
    front.draw(front.signal(*split(_spaced(evals, frame)), marker=spot))
    return _laid_over(lines_of(back), lines_of(front), frame, spot, ascii_only=options.ascii_only)


def usable(points: Points, *, log: bool) -> Points:
    """The points that can be drawn. plotext's kernel ends the whole process on others."""
    least = _TINIEST if log else -_LARGEST
    return tuple(
        point for point in points if 0 <= point[0] <= _LARGEST and least <= point[1] <= _LARGEST
    )


def _why_empty(snapshot: Snapshot, options: Options) -> str:
    if options.curve == "loss" and snapshot.odd_losses:
        return "every loss so far is NaN"
    if snapshot.curves.get(options.curve):
        return "nothing above zero: no log scale" if options.log else "no value that can be drawn"
    return f"this run does not report its {TITLES[options.curve]}" if snapshot.step else ""


def note(text: str, width: int, height: int) -> Rows:
    """Words in the middle of the room that a curve would have."""
    text = text[:width]
    blank: Row = ((" ", "muted"),)
    return (*(blank,) * (height // 2), ((text.center(width), "muted"),))


def _frame(points: Points, evals: Points, most: int | None, options: Options) -> Canvas:
    last = max(step for step, _ in (*points, *evals))  # whatever order they came in
    across = step_axis(last, most, options.width)
    latest = [value for _, value in points[-3:]]
    must_show = [value for _, value in evals]
    if latest:
        must_show.append(sum(latest) / len(latest))
    axis = log_axis if options.log else value_axis
    up = axis([value for _, value in points], must_show, options.height)
    left = max(map(len, up.labels), default=0) + 1
    if options.width - left < 4 or options.height < 4:
        return Canvas(across, up, 0, options.width, options.height)
    return Canvas(across, up, left, options.width - left, options.height - 2)


def logarithms(points: Points) -> Points:
    """The points on the coordinates of `log_axis`."""
    return tuple((step, math.log10(value)) for step, value in points)


def _clamped(points: Points, frame: Canvas) -> Points:
    """Values far outside are drawn just outside: plotext walks every cell of a line."""
    margin = frame.up.high - frame.up.low
    low, high = frame.up.low - margin, frame.up.high + margin
    return tuple((step, min(max(value, low), high)) for step, value in points)


def _columns(points: Points, frame: Canvas, fine: int) -> list[list[tuple[float, float]]]:
    """The points that share a dot column, from left to right."""
    scale = frame.width * fine / frame.across.high
    groups: list[list[tuple[float, float]]] = []
    before = -1
    for point in _clamped(points, frame):
        column = int(point[0] * scale)
        if column != before:
            groups.append([])
            before = column
        groups[-1].append(point)
    return groups


def _thinned(points: Points, frame: Canvas, fine: int) -> Points:
    """At most `_DOTS` values a dot column, its extremes among them: a spike stays visible."""
    kept: list[tuple[float, float]] = []
    for group in _columns(points, frame, fine):
        if len(group) <= _DOTS:
            kept += group
            continue
        group.sort(key=lambda point: point[1])
        last = len(group) - 1
        kept += [group[last * index // (_DOTS - 1)] for index in range(_DOTS)]
    return tuple(kept)


def averaged(points: Points, frame: Canvas, fine: int, *, smooth: bool) -> Points:
    """One value a dot column; smoothed, the weighted mean of it and its neighbours.

    Neighbours on both sides, so that the line runs through the middle of the dots without lag; and
    columns instead of steps, so that it stays where it was while a run grows and only its end is
    drawn anew, which is what a slow connection can carry.
    """
    groups = _columns(points, frame, fine)
    means = [sum(value for _, value in group) / len(group) for group in groups]
    reach = max(3, frame.width * fine // 25) if smooth else 0
    line = []
    for at, group in enumerate(groups):
        total = weights = 0.0
        for other in range(max(0, at - reach), min(len(means), at + reach + 1)):
            weight = reach + 1 - abs(at - other)
            total += weight * means[other]
            weights += weight
        line.append((group[-1][0], total / weights))
    return tuple(line)


def _spaced(points: Points, frame: Canvas) -> Points:
    """The last, the best, and of the others as many as leave the line visible."""
    if not points:
        return ()
    kept = {points[-1], min(points, key=lambda point: point[1])}
    taken = set()
    for point in points:
        place = int(point[0] * frame.width / frame.across.high / 4)  # four cells each
        if place not in taken:
            taken.add(place)
            kept.add(point)
    return _clamped(tuple(sorted(kept)), frame)


def split(points: Points) -> tuple[list[float], list[float]]:
    """Places and values apart, as plotext takes them."""
    return [step for step, _ in points], [value for _, value in points]


def _laid_over(
    back: list[str], front: list[str], frame: Canvas, spot: str, *, ascii_only: bool
) -> Rows:
    """The line over the raw values: a cell of the line shows nothing else, so it stays crisp."""
    rows = []
    for y, under in enumerate(back):
        over = front[y] if y < frame.height else ""
        pieces: list[tuple[str, str]] = []
        for x, below in enumerate(under.translate(AXES_IN_ASCII) if ascii_only else under):
            inside = x - frame.left
            above = over[inside] if 0 <= inside < len(over) else " "
            character = below if above == " " else above
            if above == " ":
                role = "faint" if inside >= 0 and y < frame.height else "muted"
            else:
                role = "strong" if above == spot else "accent"
            if pieces and (character == " " or pieces[-1][1] == role):  # a blank has no colour
                pieces[-1] = (pieces[-1][0] + character, pieces[-1][1])
            else:
                pieces.append((character, role))
        rows.append(tuple(pieces))
    return tuple(rows)


@cache
def _plotext() -> Any:
    import plotext  # a third of a second, so not before the first chart

    plotext.terminal.limit(False, False)  # it would cut figures to the size of the terminal
    return plotext


def new_figure(width: int, height: int, frame: Canvas) -> Any:
    """A figure of our own: plotext's shared one is not safe beside other threads.

    It has axes if it is larger than the canvas.
    """
    plotext = _plotext()
    from plotext._plotter.plot import plot_class  # private: the reason for pinning plotext exactly

    figure = plot_class(parent=plotext.terminal)
    figure.plot_size(width, height)
    figure.theme("colorless")
    figure.canvas("default")
    figure.axes(False)
    x, y = figure.ruler("x", "lower"), figure.ruler("y", "left")
    x.lim(0, frame.across.high)
    y.lim(frame.up.low, frame.up.high)
    if width > frame.width:
        figure.axes(True, axis="x", side="lower")
        figure.axes(True, axis="y", side="left")
        x.ticks(list(frame.across.marks), list(frame.across.labels))
        y.ticks(list(frame.up.marks), [label.rjust(frame.left - 1) for label in frame.up.labels])
    else:
        x.ticks([], [])
        y.ticks([], [])
    return figure


def lines_of(figure: Any) -> list[str]:
    """The figure, drawn."""
    lines: list[str] = figure.build().string(True).removesuffix("\n").split("\n")
    return lines
