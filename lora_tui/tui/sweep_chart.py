"""The trade-off of a sweep as finished lines of text: held-out loss over trained parameters.

Pure, and run in a worker thread, as `chart` is.
"""

import math
from collections.abc import Sequence

from lora_tui.core.comparison_table import LEAST_GAIN
from lora_tui.core.overlay import Course
from lora_tui.core.sweep_rows import Row
from lora_tui.core.sweep_table import TradeOff
from lora_tui.core.text import count, number
from lora_tui.tui.chart import (
    AXES_IN_ASCII,
    Canvas,
    lines_of,
    new_figure,
    note,
    split,
)
from lora_tui.tui.columns import cut, width_of
from lora_tui.tui.compare_chart import Curve, Drawing, lay, pieces
from lora_tui.tui.scales import Axis, log_axis, value_axis
from lora_tui.tui.widgets.painting import Row as Painted
from lora_tui.tui.widgets.painting import Rows

_WHY_NONE = "not measured"
_LEAST_HEIGHT, _LEAST_WIDTH = 5, 20
_A_MARK = 14  # cells between two marks of the lower axis, about
_MARGIN = 0.06  # of the axis, at either end


def curve(tag: str, row: Row, course: Course, kind: str) -> Curve:
    """A run's curve; the base, which is the same for all, is left out."""
    points = tuple(point for point in course.points(kind, "step") if point[0])
    return Curve(tag, row.label, points, _WHY_NONE if row.state == "finished" else row.state)


def trade_off(found: TradeOff, tags: Sequence[str], how: Drawing) -> Rows:
    """Each run by its letter, a line through them, and full fine-tuning as a line across."""
    if not found.points:
        return note("no run has finished yet", how.width, max(2, how.height))
    if how.width < _LEAST_WIDTH or how.height < _LEAST_HEIGHT:
        return ()
    legend = _legend(found, how)
    height = how.height - 1
    frame = _frame(found, how.width, height)
    low = _low(found)
    placed = [(math.log10(size) - low, loss) for size, loss, _ in found.points]
    axes = lines_of(new_figure(how.width, height, frame))
    if how.ascii_only:
        axes = [line.translate(AXES_IN_ASCII) for line in axes]
    cells = [[(character, "muted") for character in line.ljust(how.width)] for line in axes]
    if found.baseline is not None and math.isfinite(found.baseline):
        across = tuple(
            (frame.across.high * x / (frame.width - 1), found.baseline) for x in range(frame.width)
        )
        _draw(cells, across, frame, "-" if how.ascii_only else "─", "good")
    if len(placed) > 1:
        figure = new_figure(frame.width, frame.height, frame)
        stroke = "." if how.ascii_only else "braille"
        figure.draw(figure.signal(*split(tuple(placed)), marker=stroke).lines(True))
        lay(cells, lines_of(figure), frame, "faint")
    for (_, _, at), point in zip(found.points, placed, strict=True):
        role = "accent" if tags[at] == how.chosen else "strong"
        _draw(cells, (point,), frame, tags[at], role)
    return (*(tuple(pieces(row)) for row in cells), legend)


def _draw(
    cells: list[list[tuple[str, str]]],
    points: tuple[tuple[float, float], ...],
    frame: Canvas,
    marker: str,
    role: str,
) -> None:
    figure = new_figure(frame.width, frame.height, frame)
    figure.draw(figure.signal(*split(points), marker=marker))
    lay(cells, lines_of(figure), frame, role)


def _span(found: TradeOff) -> Axis:
    sizes = [size for size, _, _ in found.points]
    return log_axis(sizes, sizes, 18)


def _low(found: TradeOff) -> float:
    """Where the lower axis begins, as a power of ten."""
    axis = _span(found)
    return axis.low - _MARGIN * (axis.high - axis.low)


def _frame(found: TradeOff, width: int, height: int) -> Canvas:
    axis, low = _span(found), _low(found)
    high = axis.high + _MARGIN * (axis.high - axis.low) - low
    every = max(1, math.ceil(len(axis.marks) * _A_MARK / width))
    marks = tuple(mark - low for mark in axis.marks[::every])
    across = Axis(0, high, marks, axis.labels[::every])
    losses = [loss for _, loss, _ in found.points]
    if found.baseline is not None and math.isfinite(found.baseline):
        losses.append(found.baseline)
    middle = (max(losses) + min(losses)) / 2
    losses += [middle - LEAST_GAIN, middle + LEAST_GAIN]  # or what is noise would fill the chart
    up = value_axis(losses, losses, height)
    left = max(map(len, up.labels), default=0) + 1
    return Canvas(across, up, left, max(1, width - left), height - 2)


def _legend(found: TradeOff, how: Drawing) -> Painted:
    """What the line across is, and what the lower axis counts."""
    said = "trained parameters"
    line = "-" if how.ascii_only else "─"
    if found.baseline is None:
        return ((cut(said, how.width), "muted"),)
    size = f", {count(found.baseline_size)}" if found.baseline_size else ""
    full = f" full{size}: {number(found.baseline)}"
    gap = how.width - width_of(said) - width_of(full) - 2
    if gap < 1:
        return ((line * 2, "good"), (cut(full, how.width - 2), "muted"))
    return ((line * 2, "good"), (full + " " * gap, "muted"), (said, "muted"))
