"""The chart as text: what it shows, what it leaves out, and that nothing breaks it."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.core.metrics import CURVES, Snapshot
from lora_tui.core.series import Points
from lora_tui.tui import scales
from lora_tui.tui.chart import Options, Rows, _frame, _thinned, draw, legend
from lora_tui.tui.widgets.painting import changed_width, end_of, repaint_bytes

NAN, INF = float("nan"), float("inf")


def plain(rows: Rows) -> list[str]:
    return ["".join(text for text, _ in row) for row in rows]


def cells(rows: Rows, role: str) -> str:
    return "".join(text for row in rows for text, of in row if of == role)


def falling(last: int = 400) -> Points:
    noise = (math.sin(17.0 * step) / 8 for step in range(1, last + 1))
    return tuple(
        (step, 1.2 + 1.5 * math.exp(-step / (last / 6)) + n)
        for step, n in zip(range(1, last + 1), noise, strict=True)
    )


def run(
    points: Points = (), evals: Points = (), *, most: int | None = 500, **more: object
) -> Snapshot:
    last = int(points[-1][0]) if points else 0
    return Snapshot(step=last, max_steps=most, curves={"loss": points}, evals=evals, **more)  # type: ignore[arg-type]  # passed on


def test_the_curve_falls_from_the_upper_left_and_ends_where_the_run_is() -> None:
    rows = draw(run(falling()), Options(width=60, height=16))
    lines = plain(rows)
    assert len(lines) == 16
    assert all(len(line) == 60 for line in lines[:-1])
    canvas = [line.partition("│")[2] or line.partition("┤")[2] for line in lines[:14]]
    first = [y for y, line in enumerate(canvas) if line[:2].strip()]
    last = [y for y, line in enumerate(canvas) if line[44:46].strip()]
    assert min(first) < 3 and min(last) > 6
    assert not any(line[48:].strip() for line in canvas), "nothing beyond step 400 of 500"
    assert lines[-1].split() == ["0", "100", "200", "300", "400", "500"]


def test_the_line_is_crisp_over_the_dots_and_held_out_losses_are_circles() -> None:
    rows = draw(run(falling(), ((0, 2.7), (200, 1.5), (400, 1.3))), Options())
    assert cells(rows, "strong").strip() == "●●●" or cells(rows, "strong").count("●") == 3
    assert cells(rows, "accent").strip() and cells(rows, "faint").strip()


def test_many_held_out_losses_leave_the_line_visible_and_keep_the_best_and_the_last() -> None:
    evals = tuple((step, {203: 0.9, 400: 2.9}.get(step, 1.5)) for step in range(1, 401))
    rows = draw(run(falling(), evals), Options(width=60, height=16))
    assert 8 <= cells(rows, "strong").count("●") <= 16
    marked = [line for line in plain(rows) if "●" in line]
    assert marked[0].index("●") == pytest.approx(3 + 57 * 400 / 500, abs=2), "the last, on top"
    assert marked[-1].index("●") == pytest.approx(3 + 57 * 203 / 500, abs=2), "the best, lowest"


@pytest.mark.parametrize(
    "points", [((7.0, 2.0),), ((1.0, 2.0), (2.0, 2.0)), ((1.0, 0.0),), ((0.0, -3.0), (1.0, -3.0))]
)
def test_few_or_equal_values_have_a_chart(points: Points) -> None:
    rows = draw(run(points), Options(width=40, height=10))
    assert cells(rows, "faint").strip() or cells(rows, "accent").strip()


def test_odd_values_are_left_out() -> None:
    points = (*falling(100), (101, NAN), (102, INF), (103, -INF), (104, 1e308), (1e300, 1.0))
    rows = draw(run(points), Options())
    assert cells(rows, "accent").strip()
    assert "nan" not in "".join(plain(rows)).lower()


def test_only_odd_values_are_said_in_words() -> None:
    snapshot = run(((1, NAN),), odd_losses=3)
    assert "every loss so far is NaN" in "".join(plain(draw(snapshot, Options())))


def test_no_steps_yet_says_what_the_run_does() -> None:
    rows = draw(run(), Options(width=40, height=9), "loading the model…")
    lines = plain(rows)
    assert lines[4].strip() == "loading the model…" and abs(lines[4].index("l") - 11) <= 1
    assert "no steps yet" in "".join(plain(draw(run(), Options())))


def test_a_curve_that_is_not_reported_is_said_in_words() -> None:
    said = "".join(plain(draw(run(falling(20)), Options(curve="grad_norm"))))
    assert "does not report its gradient norm" in said


def test_a_spike_does_not_flatten_the_rest_but_a_divergence_is_shown() -> None:
    calm = falling(400)
    spiked = (*calm[:200], (200.5, 900.0), *calm[200:])
    marks = [line.split("┤")[0] for line in plain(draw(run(spiked), Options())) if "┤" in line]
    assert max(map(float, marks)) < 5
    gone = (*calm, (401, 80.0), (402, 90.0), (403, 100.0))
    marks = [line.split("┤")[0] for line in plain(draw(run(gone), Options())) if "┤" in line]
    assert max(map(float, marks)) >= 50


def test_log_scale_leaves_zeros_out_and_marks_powers() -> None:
    points = tuple((step, 10.0 ** (-step / 100)) for step in range(1, 401))
    rows = draw(run((*points, (401, 0.0), (402, -1.0))), Options(log=True, width=60, height=16))
    marks = [line.split("┤")[0].strip() for line in plain(rows) if "┤" in line]
    assert marks == ["0.1", "0.01", "1e-3"]
    heights = [
        y for y, row in enumerate(rows) for text, role in row if role == "accent" and text.strip()
    ]
    assert heights == sorted(heights) and heights[-1] > 10, "a straight line downwards"


def test_log_scale_without_a_positive_value_says_so() -> None:
    rows = draw(run(((1, 0.0), (2, -1.0))), Options(log=True))
    assert "no log scale" in "".join(plain(rows))


def test_a_very_long_run_is_thinned_and_round() -> None:
    points = tuple((step * 500.0, 2.0 + math.sin(step)) for step in range(1, 2001))
    rows = draw(run(points, most=1_000_000), Options(width=60, height=16))
    assert plain(rows)[-1].split() == ["0", "200k", "400k", "600k", "800k", "1M"]


def test_of_crowded_values_a_few_are_drawn_the_extremes_among_them() -> None:
    points = tuple((step / 10, math.sin(step)) for step in range(1, 20_001))
    frame = _frame(points, (), 2000, Options(width=60, height=16))
    kept = _thinned(points, frame, 2)
    assert len(kept) <= 4 * 2 * 60
    assert max(value for _, value in kept) > 0.99 and min(value for _, value in kept) < -0.99


def test_ascii_has_nothing_else() -> None:
    rows = draw(run(falling(), ((200, 1.5),)), Options(ascii_only=True))
    assert "".join(plain(rows)).isascii()
    assert (
        "@" in cells(rows, "strong")
        and "*" in cells(rows, "accent")
        and "." in cells(rows, "faint")
    )
    for curve in CURVES:
        assert "".join(text for text, _ in legend(curve, ascii_only=True)).isascii()


@pytest.mark.parametrize("size", [(4, 2), (5, 3), (10, 4), (12, 5), (200, 60)])
@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_any_size_is_kept(size: tuple[int, int], ascii_only: bool, log: bool) -> None:
    options = Options(width=size[0], height=size[1], ascii_only=ascii_only, log=log)
    lines = plain(draw(run(falling(), ((0, 2.7), (300, 1.3))), options))
    assert len(lines) == size[1] and all(len(line) <= size[0] for line in lines)
    assert any(line.strip() for line in lines)


def test_no_room_is_no_chart() -> None:
    assert draw(run(falling()), Options(width=3, height=9)) == ()
    assert draw(run(falling()), Options(width=9, height=1)) == ()


def test_a_longer_run_only_changes_the_end_of_the_chart() -> None:
    points = falling(400)
    before, after = draw(run(points[:380]), Options()), draw(run(points), Options())
    end = 3 + 57 * 360 // 500
    for old, new in zip(plain(before), plain(after), strict=True):
        assert old[:end] == new[:end]


def test_steps_in_no_order_stay_inside_the_chart() -> None:
    """One far outside would have plotext walk every cell up to it, and end the process."""
    lines = draw(run(((1e15, 2.0), (3.0, 1.0))), Options())
    assert any(line.strip() for line in plain(lines))


@given(
    st.lists(
        st.tuples(st.floats(0, 1e6) | st.floats(), st.floats() | st.floats(0, 10)), max_size=60
    ),
    st.sampled_from(CURVES),
    st.booleans(),
    st.integers(0, 70),
    st.integers(0, 20),
)
@settings(max_examples=150, deadline=None)
def test_nothing_breaks_it(
    points: list[tuple[float, float]], curve: str, log: bool, width: int, height: int
) -> None:
    found = tuple(sorted(points))
    snapshot = Snapshot(step=len(found), max_steps=100, curves={curve: found}, evals=found[::5])
    rows = draw(snapshot, Options(curve=curve, log=log, width=width, height=height))
    assert len(rows) <= max(0, height)


@pytest.mark.parametrize(
    ("last", "most", "high"),
    [
        (3, 500, 15.625),
        (130, 500, 250),
        (251, 500, 500),
        (500, 500, 500),
        (0, None, 1),
        (130, None, 200),
    ],
)
def test_the_axis_of_steps_grows_by_doubling(last: float, most: int | None, high: float) -> None:
    axis = scales.step_axis(last, most, 60)
    assert axis.high == high
    assert all(mark == int(mark) for mark in axis.marks)


@pytest.mark.parametrize("axis", [scales.value_axis, scales.log_axis])
def test_labels_of_one_axis_are_distinct(axis: Callable[..., scales.Axis]) -> None:
    for low, high in (
        (1.2, 2.8),
        (1e-5, 2e-4),
        (0.1, 9.0),
        (15_000, 21_000),
        (1.0, 1.001),
        (3e5, 4e8),
    ):
        made = axis([low, high], [], 16)
        assert len(set(made.labels)) == len(made.labels) >= 1
        assert made.low <= made.high


def test_only_the_cells_up_to_the_last_change_are_painted() -> None:
    row = (("abc", "text"), ("defgh", "muted"))
    assert changed_width(row, row) == 0
    assert changed_width(row, (("abX", "text"), ("defgh", "muted"))) == 3
    assert changed_width(row, (("abc", "text"), ("defgh", "bad"))) == 8
    assert changed_width(row, (("abc", "text"),)) == 8
    assert changed_width((("漢字", "text"),), (("漢宇", "text"),)) == 3
    assert repaint_bytes((row,), (row,)) == 0 < repaint_bytes((), (row,))


def test_a_path_keeps_its_end() -> None:
    assert end_of("/a/long/path/engine.log", 12) == "…/engine.log"
    assert end_of("/short", 12) == "/short"
