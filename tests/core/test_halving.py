"""Successive halving, against cases worked out by hand by the rule of Optuna's pruner."""

import math

from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core.halving import Lost, Point, losers, rungs


def course(start: float, *losses: float, every: int = 10) -> list[Point]:
    """A run that began at a time and measured each `every` steps, a second a step."""
    steps = range(every, every * (len(losses) + 1), every)
    return [Point(start + step, step, loss) for step, loss in zip(steps, losses, strict=True)]


def lost(courses: dict[str, list[Point]], first: int = 10) -> dict[str, int]:
    return {run: one.rung for run, one in losers(courses, first).items()}


def test_rungs_are_the_first_measurement_and_each_twice_as_far_before_the_end() -> None:
    assert rungs(30, 240) == [30, 60, 120]
    assert rungs(30, 241) == [30, 60, 120, 240]
    assert rungs(30, 30) == rungs(0, 100) == []


def test_who_comes_first_goes_on_and_each_that_follows_has_to_be_among_the_better_half() -> None:
    """One device: run after run. Of 2 and 3 that came, the best goes on; of 4 and 5, two do."""
    runs = {
        "a": course(0, 3.0, 2.9, 2.8, 2.7),
        "b": course(100, 3.1),  # place 2 of 2: out
        "c": course(200, 2.5, 2.95),  # 1 of 3 at step 10, 2 of 2 at step 20: out there
        "d": course(300, 2.6, 2.1, 2.0, 2.0),  # 2 of 4: among the better two
        "e": course(400, 2.55, 2.8),  # 2 of 5 at step 10; 2 of 4 at step 20, beside a, c and d
    }
    found = losers(runs, 10)
    assert found["b"] == Lost(10, Point(110, 10, 3.1), 2, 2)
    assert found["c"] == Lost(20, Point(220, 20, 2.95), 2, 2)
    assert "a" not in found and "d" not in found
    assert "e" not in found  # 2.8 is place 2 of 4 at step 20: the better half


def test_runs_side_by_side_are_judged_as_they_arrive() -> None:
    runs = {"slow": course(5, 1.0), "fast": course(0, 2.0)}
    assert lost(runs) == {}  # fast was alone when it came; slow is better
    assert lost({"slow": course(5, 2.0), "fast": course(0, 1.0)}) == {"slow": 10}


def test_what_is_as_good_goes_on() -> None:
    assert lost({"a": course(0, 1.0), "b": course(1, 1.0), "c": course(2, 1.0)}) == {}


def test_nan_is_out_and_counts_for_nobody() -> None:
    runs = {"odd": course(0, math.nan), "a": course(1, 2.0), "b": course(2, 1.0)}
    assert lost(runs) == {"odd": 10}


def test_who_lost_is_measured_against_no_more() -> None:
    """What a run measured before it really stopped counts at no later rung."""
    runs = {"a": course(0, 1.0, 0.9), "b": course(1, 1.5, 0.1, 0.1, 0.1), "c": course(50, 0.5, 0.8)}
    assert lost(runs) == {"b": 10}


def test_one_measurement_may_stand_for_two_rungs() -> None:
    late = [Point(50, 25, 1.2)]  # nothing was measured at 10 nor at 20
    assert lost({"a": course(0, 2.0, 1.0), "late": late}) == {"late": 20}


def test_between_rungs_nobody_is_judged() -> None:
    assert lost({"a": course(0, 2.0, 1.0, 0.5), "b": course(100, 1.9, 0.9, 9.0)}) == {}


def test_without_a_rung_nobody_loses() -> None:
    assert lost({"a": course(0, 1.0), "b": course(1, 2.0)}, first=0) == {}


@given(
    st.dictionaries(
        st.text("abcdefgh", min_size=1, max_size=2),
        st.lists(st.floats(0, 5), max_size=8),
        max_size=9,
    )
)
def test_what_comes_later_takes_nothing_back(losses: dict[str, list[float]]) -> None:
    """A decision stands, whatever is measured afterwards; and it leaves somebody."""
    runs = {name: course(40 * at, *own) for at, (name, own) in enumerate(losses.items())}
    final = losers(runs, 10)
    for now in (35, 75, 120, 200):
        so_far = {name: [p for p in own if p.t <= now] for name, own in runs.items()}
        assert losers(so_far, 10).items() <= final.items()
    if any(losses.values()):
        assert len(final) < sum(map(bool, losses.values()))
