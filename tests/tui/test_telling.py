"""A run that ends is told once, whatever screen is open; settings that are wrong are said."""

import asyncio
from functools import partial
from pathlib import Path

import pytest

from lora_tui.core import config
from lora_tui.core.files import private_folder
from lora_tui.core.overview import Board, Overview
from lora_tui.core.runs import Run
from lora_tui.jobs import logout
from lora_tui.jobs.idle import IdleWatch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.help import HelpScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.telling import Ends

from .conftest import Maker, say, settled, shown, toasts
from .preset_forms import press
from .test_home import home

pytestmark = pytest.mark.usefixtures("shipped")


def seen(overview: Overview) -> Board:
    (*_, board) = overview.look(at_all=True)
    return board


def test_only_what_ends_under_ones_eyes_is_news(make_run: Maker) -> None:
    ends, overview = Ends(), Overview()
    over = make_run("over", "finished", number=1)
    live = make_run("live", "running", number=2)
    assert ends.fold(seen(overview)) == []
    say(live, 60, "step", step=41, loss=0.5)
    assert ends.fold(seen(overview)) == []
    say(live, 70, "finished", step=41)
    say(over, 70, "step", step=41)  # nothing of it changes its state
    (line,) = ends.fold(seen(overview))
    assert (line.run, line.state) == (live, "finished")
    say(live, 80, "step", step=42)
    assert ends.fold(seen(overview)) == []


@pytest.mark.parametrize(("kind", "is_news"), [("stopped", False), ("failed", True)])
def test_leaving_the_queue_is_news_only_if_nobody_wanted_it(
    kind: str, is_news: bool, make_run: Maker
) -> None:
    ends, overview = Ends(), Overview()
    run = make_run("waits", "queued")
    assert ends.fold(seen(overview)) == []
    run.ticket.unlink()
    say(run, 10, kind, summary="No room.")
    assert bool(ends.fold(seen(overview))) == is_news


def end(run: Run, app: LoraTuiApp, kind: str = "failed") -> None:
    say(run, 90, kind, step=40, summary="The loss became \x1b[2J NaN.", hint="Lower it.")
    home(app).look(at_all=True)


async def test_the_end_is_told_once_over_any_screen(make_run: Maker) -> None:
    run = make_run("r16", "running")
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        end(run, app)
        await settled(pilot)
        assert "r16 failed" in toasts(pilot) and "The loss became" in toasts(pilot)
        home(app).look(at_all=True)
        await settled(pilot)
        assert toasts(pilot).count("r16 failed") == 1 and "\x1b" not in toasts(pilot)


async def test_the_screen_of_the_run_says_it_itself(make_run: Maker) -> None:
    run = make_run("r16", "running")
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        app.open_run(run)
        await settled(pilot)
        end(run, app)
        await settled(pilot)
        assert toasts(pilot) == ""


async def test_settings_that_are_wrong_are_shown_and_the_end_is_told_all_the_same(
    make_run: Maker,
) -> None:
    private_folder(config.path().parent)
    config.path().write_text("[notify]\nbel = true\nidle_minutes = 'long'\n")
    run = make_run("r16", "running")
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        assert isinstance(app.screen, Notice)
        assert "did you mean bell?" in shown(pilot) and "notify.idle_minutes" in shown(pilot)
        await press(pilot, "escape")
        end(run, app, "finished")
        await settled(pilot)
        assert "r16 finished" in toasts(pilot) and not isinstance(app.screen, Notice)


async def test_an_idle_gpu_is_told_unless_a_run_is_at_work(
    make_run: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H200, 4, 143771, 0, 9.0'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    run = make_run("r16", "running")
    app, watch = LoraTuiApp(), IdleWatch(10)
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        for now in (0.0, 600.0):
            await asyncio.to_thread(app.teller.ask_gpu, watch, now)
        await settled(pilot)
        assert toasts(pilot) == ""
        say(run, 60, "paused", step=40)
        for now in (700.0, 1300.0, 1900.0):
            await asyncio.to_thread(app.teller.ask_gpu, watch, now)
        await settled(pilot)
        assert toasts(pilot).count("The GPU has been idle for 10 minutes.") == 1


async def test_that_a_logout_would_end_a_run_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "proc/self/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
        "etc/systemd/logind.conf": "[Login]\nKillUserProcesses=yes\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(logout, "look", partial(logout.look, tmp_path, "ann"))
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        app.teller.warn_of_logout()
        app.teller.warn_of_logout()
        await settled(pilot)
        assert toasts(pilot).count("it ends every run of session-3.scope") == 1
        assert "systemd-run --user --scope lora-tui" in toasts(pilot)
