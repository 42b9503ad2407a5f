"""One run on the screen: every state it can be in, every key, and whatever its files hold."""

import fcntl
import json
import math
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import events, summary
from lora_tui.core.metrics import Snapshot
from lora_tui.core.runs import Run
from lora_tui.jobs import launch, stop
from lora_tui.tui import chart, look, watching
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.chart import Options
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.wanting import Latest
from lora_tui.tui.watching import Frame, Watch
from lora_tui.tui.widgets.loss_chart import LossChart
from lora_tui.tui.widgets.metric_table import MetricTable
from lora_tui.tui.widgets.painting import Painting

from .conftest import Maker, say, shown

SIZE = (80, 24)


def train(
    run: Run,
    last: int,
    *,
    first: int = 1,
    most: int = 500,
    loss: Callable[[int], Any] | None = None,
) -> None:
    """Events of a plausible run of `most` steps, from step `first` to step `last`."""
    if first == 1:
        say(
            run,
            4,
            "model",
            name="demo",
            trainable_parameters=4_884_480,
            total_parameters=134_515_008,
        )
        say(run, 5, "data", source="demo", rows=700, kept=700)
        say(run, 8, "eval", step=0, loss=2.71, scores={"pirate": 0.0})
    for step in range(first, last + 1):
        ideal = 1.2 + 1.5 * math.exp(-8 * step / most)
        say(
            run,
            10 + step / 2,
            "step",
            step=step,
            epoch=2 * step / most,
            loss=loss(step) if loss else ideal + math.sin(17.0 * step) / 8,
            learning_rate=2e-4 * (1 - step / most),
            grad_norm=0.9 + math.cos(step) / 5,
            tokens=7_660 * step,
            seconds=step / 2,
            memory_bytes=3_100_000_000,
        )
        if step % 50 == 0:
            scores = {"pirate": min(0.97, 1.4 * step / most)}
            say(run, 10 + step / 2, "eval", step=step, loss=round(ideal + 0.05, 4), scores=scores)
        if step % 100 == 0:
            say(run, 10 + step / 2, "checkpoint", step=step)


@pytest.fixture
def screen_of(make_run: Maker) -> Iterator[Callable[..., Run]]:
    """Makes a run that has got to a step, and keeps it alive if its state says so."""

    def make(
        state: str = "running", steps: int = 312, name: str = "r16-alpaca", **more: Any
    ) -> Run:
        run = make_run(
            name, "running" if state in {"running", "starting"} else "crashed", steps=0, most=500
        )
        if steps:
            train(run, steps, **more)
        return run

    yield make


async def drawn(pilot: Pilot[Any], ready: Callable[[Frame], bool] = lambda frame: True) -> Frame:
    """Wait until a frame that is `ready` is on the screen, drawn for the room there is."""
    screen = pilot.app.screen_stack[1]
    assert isinstance(screen, TrainingScreen)
    deadline, calm = time.monotonic() + 15, 0
    while calm < 3:  # a notice that appears leaves the chart less room, and it is drawn once more
        await pilot.pause(0.01)
        frame, chart_ = screen.frame, screen.query_one(LossChart)
        fits = frame and (frame.options.width, frame.options.height) == chart_.content_size
        done = frame and frame.picture is not None and (fits or not chart_.display) and ready(frame)
        calm = calm + 1 if done and not screen._layout_required else 0
        assert time.monotonic() < deadline, f"not ready: {shown(pilot)}"
    assert frame is not None
    return frame


async def eventually(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Wait for a worker or a message to have done its work."""
    deadline = time.monotonic() + 15
    while not holds():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause(0.01)


def figures(pilot: Pilot[Any]) -> str:
    return pilot.app.screen_stack[1].query_one(MetricTable).plain()


# --- how it looks ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [(80, 24), (120, 40), (60, 20), (40, 12)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_a_running_run(
    size: tuple[int, int], screen_of: Callable[..., Run], snap_compare: Any
) -> None:
    app = LoraTuiApp(open_run=screen_of())
    assert snap_compare(app, terminal_size=size, run_before=drawn)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=lambda s: f"{s[0]}x{s[1]}")
def test_a_finished_run(
    size: tuple[int, int], screen_of: Callable[..., Run], snap_compare: Any
) -> None:
    run = screen_of("finished", 500)
    say(run, 262, "finished", step=500, adapter_bytes=19_543_210, tokens_per_second=15_320.0)
    app = LoraTuiApp(open_run=run)
    assert snap_compare(app, terminal_size=size, run_before=drawn)


def test_a_failed_run(screen_of: Callable[..., Run], snap_compare: Any) -> None:
    run = screen_of("failed", 14)
    hint = "Halve training.per_device_train_batch_size, double gradient_accumulation_steps."
    say(run, 20, "failed", summary="Out of GPU memory at step 14.", hint=hint)
    assert snap_compare(LoraTuiApp(open_run=run), terminal_size=SIZE, run_before=drawn)


# --- states ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "says"),
    [
        ([], "reading the data…"),
        (["data"], "loading the model…"),
        (["data", "model"], "measuring the base on held-out rows…"),
        (["data", "model", "eval", "sample"], "taking the first step…"),
    ],
)
async def test_a_starting_run_says_what_it_is_doing(
    kinds: list[str], says: str, screen_of: Callable[..., Run]
) -> None:
    run = screen_of("starting", 0)
    for after, kind in enumerate(kinds):
        say(run, 3 + after, kind, name="demo")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert says in shown(pilot)
        assert ("● starting" if "eval" not in kinds else "● running") in shown(pilot)


async def test_a_run_is_followed_while_it_goes_on(screen_of: Callable[..., Run]) -> None:
    run = screen_of(steps=20)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        before = await drawn(pilot)
        train(run, 40, first=21)
        after = await drawn(pilot, lambda frame: frame.snapshot.step == 40)
        assert after.picture != before.picture
        assert "40  of 500" in figures(pilot)
        assert "8 %" in figures(pilot)


async def test_all_figures_are_there_at_80_columns(screen_of: Callable[..., Run]) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        lines = [line.split() for line in figures(pilot).splitlines() if line.strip()]
        assert lines[0] == ["step", "312", "of", "500"] and lines[1][-2:] == ["62", "%"]
        rows = {line[0]: line[1:] for line in lines}
        assert rows["epoch"] == ["1.25"]
        assert rows["loss"][1:] and rows["loss"][1] in "↓↑"
        assert rows["held-out"] == ["1.262", "from", "2.710"]
        assert rows["best"] == ["1.262", "at", "300"]
        assert rows["pirate"] == ["84.0", "%", "from", "0.0", "%"]
        assert rows["tokens/s"] == ["15,320"]
        assert rows["memory"] == ["3.1", "GB"]
        assert rows["elapsed"] == ["02:46"]
        assert rows["left"] == ["01:34", "ends", "12:16"]
        assert rows["saved"] == ["300"]
        title = shown(pilot).splitlines()[0]
        assert title.split(" · ")[:2] == [" r16-alpaca", "demo"]
        assert "4.88M trained" in title and title.endswith("● running")


async def test_stopping_is_asked_for_announced_and_may_be_cut_short(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = screen_of(steps=20), []
    monkeypatch.setattr(stop, "stop", lambda run: asked.append("stop"))
    monkeypatch.setattr(stop, "kill", lambda run: asked.append("kill"))
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("s")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await eventually(pilot, lambda: asked == ["stop"])
        await eventually(pilot, lambda: "asked to stop" in shown(pilot))
        say(run, 30, "stopping")
        await drawn(pilot, lambda frame: frame.state == "stopping")
        assert "saving, please wait" in shown(pilot) and "■ stopping" in shown(pilot)
        await pilot.press("s")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("n")
        await pilot.pause()
        assert asked == ["stop"]
        await pilot.press("s")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await eventually(pilot, lambda: asked == ["stop", "kill"])


async def test_a_finished_run_says_what_came_of_it(screen_of: Callable[..., Run]) -> None:
    run = screen_of("finished", 500)
    say(run, 262, "finished", step=500, adapter_bytes=19_543_210)
    run.adapter.mkdir()
    async with LoraTuiApp(open_run=run).run_test(size=(160, 30)) as pilot:
        await drawn(pilot)
        words = " ".join(shown(pilot).split())
        assert "✓ finished" in words
        for said in ("from 2.", "held-out 1.250 from 2.710", "pirate 97.0 % from 0.0 %"):
            assert said in words
        for said in ("adapter 19.5 MB", "took 04:22", "s stop"):
            assert (said in words) == (said != "s stop")
        assert f"kept in {run.adapter}" in shown(pilot)


async def test_a_failed_run_says_why_and_what_to_do_as_text(screen_of: Callable[..., Run]) -> None:
    run = screen_of("failed", 14)
    say(run, 20, "failed", summary="No [red]room[/red]\x1b[2J.", hint="Make\a [b]room[/b].")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "No [red]room[/red]\ufffd[2J." in shown(pilot)
        assert "Make\ufffd [b]room[/b]." in shown(pilot)
        assert "✗ failed" in shown(pilot)


async def test_a_crashed_run_shows_its_last_words_and_resumes(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = screen_of("crashed", 120)
    run.log.write_bytes(b"loading\n 10%|#|\r 24%|##|\nKilled\n\n")
    saved = run.checkpoints / "checkpoint-100" / "trainer_state.json"
    saved.parent.mkdir(parents=True)
    saved.touch()

    def resume(run: Run) -> None:
        locks.append(run.lock.open("w"))
        fcntl.flock(locks[-1], fcntl.LOCK_EX)
        say(run, 100, "launched", pid=1, host="here")
        say(
            run,
            101,
            "started",
            backend="transformers",
            device="cpu",
            max_steps=500,
            resumed_from=100,
        )

    locks: list[Any] = []
    monkeypatch.setattr(launch, "resume", resume)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        text = shown(pilot)
        assert summary.CRASHED["summary"] in text
        assert " 24%|##|" in text and "Killed" in text and "10%" not in text
        assert "R goes on from the checkpoint of step 100" in text
        await pilot.press("R")
        await eventually(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        frame = await drawn(pilot, lambda frame: frame.state == "starting")
        assert frame.snapshot.step == 100
        assert summary.CRASHED["summary"] not in shown(pilot)
    locks[0].close()


async def test_losses_that_are_no_numbers_do_not_break_the_chart(
    screen_of: Callable[..., Run],
) -> None:
    run = screen_of(steps=40, loss=lambda step: 2.0 if step < 30 else "nan")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        frame = await drawn(pilot)
        assert frame.snapshot.odd_losses == 11
        words = " ".join(figures(pilot).split())
        assert "loss NaN" in words and "NaN 11 steps" in words
        assert any(role == "accent" for row in frame.picture or () for _, role in row)


@pytest.mark.parametrize("content", [None, b"", b'\x00\xff garbage\n{]\n[1,2]\n{"kind":7}\n'])
async def test_events_that_are_missing_or_garbage_are_said_to_be(
    content: bytes | None, make_run: Maker
) -> None:
    run = make_run("r", "queued")
    if content is not None:
        run.events.write_bytes(content)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "events are missing or cannot be read" in shown(pilot)


async def test_events_with_odd_fields_are_survived(screen_of: Callable[..., Run]) -> None:
    run = screen_of(steps=5)
    with run.events.open("ab") as file:
        file.write(
            b'{"kind":"step","step":"x","loss":{}}\n{"kind":"eval","scores":3}\n{"kind":"step"'
        )
    say(run, 60, "warning", text=["a", "list"])
    say(run, 60, "model", trainable_parameters="many", total_parameters=None)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "5  of 500" in figures(pilot)


async def test_a_run_of_a_newer_version_says_so(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    run.info.write_text(json.dumps({"schema": 99, "name": "r"}))
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "made by a newer lora-tui" in shown(pilot)


@pytest.mark.parametrize("state", ["running", "crashed"])
async def test_a_run_deleted_while_it_is_watched_leads_home(
    state: str, screen_of: Callable[..., Run]
) -> None:
    run = screen_of(state)
    app = LoraTuiApp(open_run=run)
    async with app.run_test(size=SIZE, notifications=True) as pilot:
        await drawn(pilot)
        shutil.rmtree(run.path)
        await eventually(pilot, lambda: isinstance(app.screen, HomeScreen))
        await eventually(pilot, lambda: "was deleted" in " ".join(shown(pilot).split()))


# --- keys ------------------------------------------------------------------------------------


async def test_the_curve_and_its_scale_are_chosen_by_keys(screen_of: Callable[..., Run]) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        for curve, title in (
            ("learning_rate", "learning rate"),
            ("grad_norm", "gradient norm"),
            ("speed", "tokens/s"),
            ("loss", "loss"),
        ):
            await pilot.press("l")
            await drawn(pilot, lambda frame, curve=curve: frame.options.curve == curve)  # type: ignore[misc]  # bound at once
            assert shown(pilot).splitlines()[1].startswith(f"┌─ {title} ─")
        await pilot.press("z")
        await drawn(pilot, lambda frame: frame.options.log)
        assert "loss, log scale" in shown(pilot)


async def test_enter_gives_the_chart_all_the_room_and_takes_it_back(
    screen_of: Callable[..., Run],
) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        before = (await drawn(pilot)).options.width
        await pilot.press("enter")
        full = await drawn(pilot, lambda frame: frame.options.width != before)
        assert full.options.width == 78 and "tokens/s" not in shown(pilot)
        await pilot.press("enter")
        await drawn(pilot, lambda frame: frame.options.width == before)
        assert "tokens/s" in shown(pilot)


async def test_a_tiny_terminal_shows_the_chart_or_the_figures(
    screen_of: Callable[..., Run],
) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=(40, 12)) as pilot:
        await drawn(pilot)
        assert "─ loss ─" in shown(pilot) and "of 500" not in shown(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert "─ loss ─" not in shown(pilot) and "312  of 500" in shown(pilot)


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (10, 4), (200, 60)])
async def test_any_size_is_survived(size: tuple[int, int], screen_of: Callable[..., Run]) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.resize_terminal(*size)
        await drawn(pilot)
        await pilot.press("l", "z", "enter")
        await drawn(pilot)


async def test_warnings_are_one_line_and_all_on_a_key(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    say(run, 200, "warning", text="first [b]warning[/b]")
    say(run, 201, "warning", text="second\x1b[2J warning")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "▲ 2 warnings  second\ufffd[2J warning" in shown(pilot)
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Notice)
        assert "first [b]warning[/b]" in shown(pilot)


async def test_samples_are_shown_as_text(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Notice), "there is nothing to show yet"
        say(run, 200, "sample", step=300, prompt="Who?", base="A model.", tuned="[b]Arr[/b]\x07")
        await drawn(pilot, lambda frame: bool(frame.snapshot.samples))
        await pilot.press("x")
        await pilot.pause()
        text = shown(pilot)
        assert "Who?" in text and "A model." in text and "[b]Arr[/b]\ufffd" in text


async def test_the_log_is_one_key_away_and_back_leads_back(screen_of: Callable[..., Run]) -> None:
    app = LoraTuiApp(open_run=screen_of())
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.screen_stack[1]
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)


async def test_nothing_is_painted_under_another_screen(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = screen_of(steps=20)
    app = LoraTuiApp(open_run=run)
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        screen = app.screen_stack[1]
        assert isinstance(screen, TrainingScreen)
        await pilot.press("g")
        await pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(MetricTable, "paint", lambda self, rows: painted.append(rows))
        train(run, 40, first=21)
        await eventually(pilot, lambda: bool(screen._latest and screen._latest.snapshot.step == 40))
        assert painted == []
        await pilot.press("q")
        await eventually(pilot, lambda: bool(screen.frame and screen.frame.snapshot.step == 40))
        assert painted


async def test_an_ascii_terminal_gets_ascii_only(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    run = screen_of()
    say(run, 200, "warning", text="careful")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert shown(pilot).isascii()
        await pilot.press("z")
        await drawn(pilot, lambda frame: frame.options.log)
        assert shown(pilot).isascii()


# --- the thread ------------------------------------------------------------------------------


async def test_leaving_ends_the_thread_at_once(screen_of: Callable[..., Run]) -> None:
    app = LoraTuiApp(open_run=screen_of())
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        screen = app.screen
        (worker,) = [worker for worker in app.workers if worker.node is screen]
        await pilot.press("q")
        began = time.monotonic()
        await eventually(pilot, lambda: worker.is_finished)
        assert time.monotonic() - began < 0.3


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
    assert reading.wait(10)
    wanted.set()
    thread.join(0.3)
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
    assert not wanted.wait(5)
    assert time.monotonic() - began < 1
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
