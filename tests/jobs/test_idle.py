"""When a GPU counts as idle, by made clocks."""

from collections.abc import Sequence

from lora_tui.jobs.idle import IdleWatch


def told(watch: IdleWatch, moments: Sequence[tuple[float, bool, float | None]]) -> list[float]:
    return [now for now, work, load in moments if watch.feed(now, at_work=work, load=load)]


def test_it_is_told_once_after_the_minutes_and_again_after_work() -> None:
    watch = IdleWatch(10)
    idle = [(float(now), False, 0.0) for now in range(0, 3000, 30)]
    assert told(watch, idle) == [600.0] and not watch.waits
    assert told(watch, [(3000.0, True, 97.0)]) == []
    later = [(float(now), False, 2.0) for now in range(3030, 6000, 30)]
    assert told(watch, later) == [3630.0]


def test_a_run_at_work_or_a_busy_gpu_begins_the_time_anew() -> None:
    watch = IdleWatch(1)
    assert told(watch, [(0.0, False, 0.0), (50.0, True, 0.0), (70.0, False, 4.9)]) == []
    assert watch.waits
    assert told(watch, [(100.0, False, 5.0), (130.0, False, 0.0), (189.0, False, 0.0)]) == []
    assert told(watch, [(190.0, False, 0.0), (200.0, False, 0.0)]) == [190.0]


def test_no_gpu_and_no_minutes_are_never_idle() -> None:
    assert told(IdleWatch(1), [(0.0, False, None), (900.0, False, None)]) == []
    never = IdleWatch(0)
    assert told(never, [(0.0, False, 0.0), (9e9, False, 0.0), (9e9, True, 9.0)]) == []
    assert told(never, [(9e9, False, 0.0), (10e9, False, 0.0)]) == [] and not never.waits
