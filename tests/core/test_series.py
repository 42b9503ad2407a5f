"""Curves of any length in bounded memory."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core.series import CAPACITY, Series, smoothed, sparkline

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300)


def filled(numbers: list[float], piece: int = 1) -> Series:
    series = Series()
    for start in range(0, len(numbers), piece):
        part = numbers[start : start + piece]
        series.extend(list(range(start, start + len(part))), part)
    return series


@given(values, st.integers(1, 50))
def test_pieces_do_not_matter(numbers: list[float], piece: int) -> None:
    assert filled(numbers, piece).points() == filled(numbers).points()


def test_a_long_curve_keeps_its_mean_its_ends_and_its_size() -> None:
    numbers = [math.sin(index / 1000) for index in range(100_003)]
    series = filled(numbers, 997)
    points = series.points()
    assert len(points) <= CAPACITY and series.stride == 64
    weighted = sum(total for total in series.sums) / sum(series.counts)
    assert weighted == pytest.approx(sum(numbers) / len(numbers))
    assert points[-1][0] == 100_002 and series.first == numbers[0] and series.last == numbers[-1]
    assert series.least == min(numbers) and series.least_at == numbers.index(min(numbers))


def test_nan_is_counted_and_not_averaged() -> None:
    series = filled([1.0, math.nan, 3.0, math.inf])
    assert series.odd == 2 and [value for _, value in series.points()] == [1.0, 3.0]
    assert series.last == math.inf and series.least == 1.0


def test_what_a_resumed_run_repeats_is_forgotten() -> None:
    series = filled([5.0, 4.0, 3.0, 2.0, 1.0])
    series.drop_after(2)
    assert series.points() == ((0, 5.0), (1, 4.0), (2, 3.0))
    assert (series.last, series.least, series.least_at) == (3.0, 3.0, 2)
    series.drop_after(-1)
    assert (series.points(), series.last, series.first) == ((), None, None)
    series.extend([0], [7.0])
    assert (series.least, series.first) == (7.0, 7.0)


def test_smoothing_follows_a_constant_exactly_and_calms_noise() -> None:
    constant = smoothed(tuple((float(step), 2.0) for step in range(50)))
    assert [value for _, value in constant] == pytest.approx([2.0] * 50)
    noisy = smoothed(tuple((float(step), float(step % 2)) for step in range(400)))
    assert all(0.4 < value < 0.6 for _, value in noisy[100:])


def test_sparkline() -> None:
    falling = tuple((float(step), 10.0 - step) for step in range(10))
    assert sparkline(falling, 5) == "█▆▅▃▁"
    assert sparkline(falling, 5, ascii_only=True).isascii()
    assert sparkline(falling[:1], 5) == "" and set(sparkline(((0, 1.0), (1, 1.0)), 4)) == {"▁"}
