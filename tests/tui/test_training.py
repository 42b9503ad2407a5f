"""One run on the screen: every state it can be in, and whatever its files hold."""

import fcntl
import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from lora_tui.core import queue, summary
from lora_tui.core.runs import Run
from lora_tui.jobs import control, launch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.go_on import GoOn
from lora_tui.tui.screens.home import HomeScreen

from .conftest import Maker, say, shown
from .training_screens import SIZE, drawn, eventually, figures, train

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
        (["data", "model"], "preparing the first step…"),
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
    monkeypatch.setattr(control, "stop", lambda run: asked.append("stop"))
    monkeypatch.setattr(control, "kill", lambda run: asked.append("kill"))
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


@pytest.mark.parametrize("is_saved", [True, False])
async def test_only_a_stopped_run_that_saved_something_is_merged_and_exported(
    screen_of: Callable[..., Run],
    is_saved: bool,
) -> None:
    run = screen_of("stopped", 3)
    say(run, 20, "stopped", step=3)
    if is_saved:
        run.adapter.mkdir()
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        offered = {"m", "e"} & pilot.app.screen.active_bindings.keys()
        assert offered == ({"m", "e"} if is_saved else set())


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
        await eventually(pilot, lambda: isinstance(pilot.app.screen, GoOn))
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
    queue.leave(run)
    if content is not None:
        run.events.write_bytes(content)
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "events are missing or cannot be read" in shown(pilot)


async def test_the_keys_of_a_held_run_release_it(make_run: Maker) -> None:
    run = make_run("r", "queued")  # held
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "p releases it" in shown(pilot)
        bound = pilot.app.screen.active_bindings.values()
        keys = {one.binding.action for one in bound if one.enabled}
        assert "go_on" in keys and "pause" not in keys


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
