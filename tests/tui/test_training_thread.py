"""The thread that reads a run for its screen: it ends at once, and shows nothing twice."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from lora_tui.core import events, summary
from lora_tui.core.metrics import Snapshot
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow
from lora_tui.tui import chart, watching
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.chart import Options
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.wanting import Latest
from lora_tui.tui.watching import Frame, Watch
from lora_tui.tui.widgets.painting import Painting

from .training_screens import SIZE, drawn, eventually, train


async def test_leaving_ends_the_thread_at_once(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    # By itself it would look up too late.
    monkeypatch.setattr(watching, "follow", partial(follow, every=3600.0))
    app = LoraTuiApp(open_run=screen_of())
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        screen = app.screen
        (worker,) = [worker for worker in app.workers if worker.node is screen]
        await pilot.press("q")
        await eventually(pilot, lambda: worker.is_finished)


def test_the_thread_can_be_ended_in_the_middle_of_a_long_file(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reading = screen_of("crashed", 300), threading.Event()

    def endless(
        run: Run, cancelled: threading.Event, every: float = 0.25
    ) -> Iterator[list[events.Event]]:
        batch = (
            list(events.read_all(run.events))
            if hasattr(events, "read_all")
            else events.read_new(run.events)[0]
        )
        while not cancelled.is_set():
            reading.set()
            yield batch

    monkeypatch.setattr(watching, "follow", endless)
    wanted = Latest(Options())
    thread = threading.Thread(target=Watch(run, wanted, lambda frame: None).run)
    thread.start()
    assert reading.wait(180)
    wanted.set()
    thread.join(180)
    assert not thread.is_alive()


def watched(run: Run, wanted: Latest[Options], until: Callable[[Frame], bool]) -> list[Frame]:
    """The frames of a run, in this thread, until one is as wanted."""
    frames: list[Frame] = []

    def show(frame: Frame) -> None:
        frames.append(frame)
        if until(frame):
            wanted.set()

    Watch(run, wanted, show).run()
    return frames


def test_a_long_run_has_a_first_picture_before_it_is_read_and_answers_meanwhile(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_LONG", 1000)
    monkeypatch.setattr(watching, "_SAMPLED", 40)
    monkeypatch.setattr(events.read_new, "__defaults__", (0, 4096))
    monkeypatch.setattr(watching, "_APART", 0.0)
    monkeypatch.setattr(watching, "_BYTES_A_SECOND", 1e12)
    run = screen_of("crashed", 400)
    wanted = Latest(Options())
    whole = summary.read_snapshot(run)

    def done(frame: Frame) -> bool:
        if frame.read and frame.read > 0.3:
            wanted.want(Options(curve="grad_norm"))
        return frame.read is None and frame.picture is not None

    frames = watched(run, wanted, done)
    pictures = [frame for frame in frames if frame.picture is not None]
    assert pictures[0].read == 0.0 and pictures[0].snapshot.step == 400
    steps = [step for step, _ in pictures[0].snapshot.curves["loss"]]
    assert 20 < len(steps) < 250 and steps == sorted(set(steps))
    shares = [frame.read for frame in frames if frame.read is not None]
    assert shares == sorted(shares) and len(set(shares)) > 3
    assert any(frame.read and frame.options.curve == "grad_norm" for frame in pictures)
    assert frames[-1].read is None and frames[-1].snapshot == whole


def test_nothing_is_shown_anew_when_nothing_happens(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, turns = screen_of(), []

    def idle(
        run: Run, wanted: threading.Event, every: float = 0.25
    ) -> Iterator[list[events.Event]]:
        yield events.read_new(run.events)[0]
        for turn in range(50):
            turns.append(turn)
            yield []
        wanted.set()

    monkeypatch.setattr(watching, "follow", idle)
    monkeypatch.setattr(watching, "_APART", 0.0)
    monkeypatch.setattr(watching, "_BYTES_A_SECOND", 1e12)
    drawings: list[Snapshot] = []

    def draw(snapshot: Snapshot, *rest: object) -> chart.Rows:
        drawings.append(snapshot)
        return ((("x", "text"),),)

    monkeypatch.setattr(chart, "draw", draw)
    frames = watched(run, Latest(Options()), lambda frame: False)
    assert len(turns) == 50 and len(drawings) <= 2
    assert [frame.picture is not None for frame in frames] == [False, True]


def test_frames_come_twice_a_second_at_most(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock = screen_of(steps=20), [100.0]
    lines = [event for event in events.read_new(run.events)[0] if event["kind"] == "step"]

    def fast(
        run: Run, wanted: threading.Event, every: float = 0.25
    ) -> Iterator[list[events.Event]]:
        for step in range(1000):
            clock[0] += 0.02
            yield [lines[-1] | {"step": 21 + step}]
        wanted.set()

    monkeypatch.setattr(watching, "follow", fast)
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    frames = watched(run, Latest(Options()), lambda frame: False)
    assert 10 <= len(frames) <= 41


def test_of_waiting_frames_only_the_latest_is_shown() -> None:
    frame = Frame(watching.About("r"), Snapshot())
    first, second = TrainingScreen.Arrived(frame), TrainingScreen.Arrived(frame)
    assert first.can_replace(second)


def test_asking_for_another_chart_wakes_the_thread() -> None:
    wanted = Latest(Options())
    wanted.want(Options(curve="speed"))
    began = time.monotonic()
    assert not wanted.wait(180)
    assert time.monotonic() - began < 90
    assert wanted.value.curve == "speed"


async def test_only_what_changed_is_painted(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = screen_of(steps=300)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        regions: list[Any] = []
        refresh = Painting.refresh

        def counted(self: Painting, *areas: Any, **more: Any) -> Any:
            regions.extend((type(self).__name__, area) for area in areas or ["all"])
            return refresh(self, *areas, **more)

        monkeypatch.setattr(Painting, "refresh", counted)
        train(run, 309, first=301)
        await drawn(pilot, lambda frame: frame.snapshot.step == 309)
        assert "all" not in [area for _, area in regions]
        chart = [area for name, area in regions if name == "LossChart"]
        assert 1 <= len(chart) <= 10
        assert {area.height for area in chart} == {1}
