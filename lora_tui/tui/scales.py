"""Ranges and tick marks of an axis: round, and rarely changing while a run grows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_FEW = 40  # fewer values than this: none of them is taken for an outlier


@dataclass(frozen=True, slots=True)
class Axis:
    """From `low` to `high` in the chart's own coordinate, with labelled marks."""

    low: float
    high: float
    marks: tuple[float, ...]
    labels: tuple[str, ...]


def step_axis(last: float, most: int | None, width: int) -> Axis:
    """The axis of steps: to a half, a quarter, … of the run, so that it rarely changes.

    Without a known end it reaches to a round number beyond the last step.
    """
    last = max(last, 1)
    if most and most >= last:
        high = float(most)
        while high / 2 >= max(last, 10):
            high /= 2
    else:
        high = _round_up(last)
    marks = _round_marks(0, high, max(1, min(width // 10, 8)), whole=True)
    return Axis(0, high, marks, tuple(_short(mark) for mark in marks))


def fitted_axis(last: float, width: int) -> Axis:
    """An axis from 0 to `last` and no further: for what has ended and grows no more."""
    last = max(last, 1e-9)
    marks = _round_marks(0, last, max(1, min(width // 10, 8)), whole=last >= 10)
    return Axis(0, last, marks, tuple(_short(mark) for mark in marks))


def value_axis(values: Sequence[float], must_show: Sequence[float], height: int) -> Axis:
    """A linear axis over the bulk of `values` and all of `must_show`."""
    low, high = _bulk(values, must_show)
    if high - low <= max(abs(high), abs(low)) * 1e-9 + 1e-30:
        margin = abs(high) / 10 if abs(high) > 1e-30 else 1.0
        low, high = low - margin, high + margin
    wanted = max(1, min(height // 3, 6))
    marks = _round_marks(low, high, wanted)
    step = marks[1] - marks[0] if len(marks) > 1 else high - low
    bottom, top = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    # The range ends on half marks: round enough to stay put, with little empty space.
    bottom = bottom + step / 2 if low >= bottom + step / 2 else bottom
    top = top - step / 2 if high <= top - step / 2 else top
    marks = _marks_between(bottom, top, step)
    return Axis(bottom, top, marks, _labels(marks, step))


def log_axis(values: Sequence[float], must_show: Sequence[float], height: int) -> Axis:
    """A logarithmic axis; coordinates are powers of ten. Values must be positive."""
    low, high = _bulk(values, must_show)
    if high / low < 1.05:
        low, high = low / 1.2, high * 1.2
    bottom, top = math.log10(low), math.log10(high)
    wanted = max(2, min(height // 3, 6))
    if high / low < 4:
        marks = [mark for mark in _round_marks(low, high, wanted) if mark > 0]
    else:
        first, last = math.floor(bottom), math.ceil(top)
        leads = (1, 2, 5) if 3 * (top - bottom) <= wanted + 1 else (1,)
        marks = [lead * 10.0**power for power in range(first, last + 1) for lead in leads]
        marks = [mark for mark in marks if low / 1.02 <= mark <= high * 1.02]
        marks = marks[:: max(1, math.ceil(len(marks) / wanted))]
    return Axis(
        bottom,
        top,
        tuple(math.log10(mark) for mark in marks),
        tuple(_plain(mark) for mark in marks),
    )


def _bulk(values: Sequence[float], must_show: Sequence[float]) -> tuple[float, float]:
    """The range of `must_show` and of all but the extreme hundredth of `values`."""
    ordered = sorted(values)
    cut = len(ordered) // 100 if len(ordered) >= _FEW else 0
    ends = [
        *ordered[cut : cut + 1],
        *ordered[len(ordered) - 1 - cut : len(ordered) - cut],
        *must_show,
    ]
    return min(ends), max(ends)


def _round_step(span: float, wanted: int, *, whole: bool = False) -> float:
    """The round distance (1, 2, 2.5 or 5 times a power of ten) that makes about `wanted` marks."""
    rough = span / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(lead * power for lead in (1, 2, 2.5, 5, 10) if lead * power >= rough * 0.999)
    return max(1.0, math.ceil(step)) if whole and step != int(step) else step


def _round_marks(low: float, high: float, wanted: int, *, whole: bool = False) -> tuple[float, ...]:
    return _marks_between(low, high, _round_step(high - low, wanted, whole=whole))


def _marks_between(low: float, high: float, step: float) -> tuple[float, ...]:
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(index * step for index in range(first, last + 1))


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    return next(lead * power for lead in (1, 2, 5, 10) if lead * power >= value)


def _labels(marks: Sequence[float], step: float) -> tuple[str, ...]:
    """All labels of an axis with the same number of decimals."""
    largest = max((abs(mark) for mark in marks), default=0)
    if largest >= 10_000:
        return tuple(_short(mark) for mark in marks)
    if largest < 0.01:
        return tuple(_plain(mark) for mark in marks)
    places = next((p for p in range(6) if abs(step * 10**p - round(step * 10**p)) < 1e-6), 6)
    return tuple(f"{mark:.{places}f}" for mark in marks)


def _short(value: float) -> str:
    """A count as a label: 0, 500, 25k, 1.5M."""
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):g}{unit}"
    return f"{value:g}"


def _plain(value: float) -> str:
    """A label for any size: 0.02, 350, 1e-4, 25k."""
    if value and abs(value) < 0.01:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return _short(float(f"{value:.4g}"))
