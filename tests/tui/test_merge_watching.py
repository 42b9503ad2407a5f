"""The thread behind a merge: what it says when something ends oddly, and that no key waits."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import makings, members, merging, runs
from lora_tui.core.members import Member
from lora_tui.core.merging import Folding, Merging
from lora_tui.core.runs import Run
from lora_tui.jobs import control, merge, talk
from lora_tui.tui import job_watching, merge_outlook
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.job_watching import Frame, JobWatch
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.merge import MergeScreen
from lora_tui.tui.widgets.title_bar import TitleBar

from ..adapters import write_adapter
from .conftest import settled, shown, toasts
from .data_reports import at_work, until
from .merges import adapter, opened, ready, recorded, two
from .test_merge_screen import SIZE, Started, keys, press, started, typed

__all__ = ["started"]

pytestmark = pytest.mark.usefixtures("shipped")

Frames = list[Frame[Merging]]


def watch(source: Run | Callable[[], Run], folding: Folding | None = None) -> tuple[Any, Frames]:
    """A watch, and the frames that it hands over once it runs."""
    frames: Frames = []
    said = {"kept": "nothing is left", "again": "r again."}
    folding = folding or Folding()
    return JobWatch(source, folding, threading.Event(), frames.append, **said), frames


def test_a_crashed_one_lived_until_its_last_event_and_few_frames_tell_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = recorded(two(), final="", until_=0)
    told = [{"kind": "launched", "t": 1000.0}, {"kind": "started", "t": 1031.5, "device": "cpu"}]
    run.events.write_text("".join(json.dumps(event) + "\n" for event in told))
    monkeypatch.setattr(job_watching, "_APART", 1e9)
    with at_work(run) as lock:

        class Dying(Folding):
            def fold(self, batch: object) -> Merging:
                lock.close()
                return self.now

        watching, frames = watch(run, Dying())
        watching.run()
    assert [frame.state for frame in frames] == ["starting", "crashed"]
    assert frames[-1].seconds == 31


def test_a_deleted_one_is_not_called_killed() -> None:
    run = recorded(two())
    shutil.rmtree(run.path)
    watching, frames = watch(run)
    watching.run()
    assert "was deleted" in frames[-1].failure[0] and frames[-1].is_over


def test_one_that_told_its_end_is_over_though_its_engine_lives_on() -> None:
    run = recorded(two(), final="stopped", until_=6)
    with at_work(run):
        watching, frames = watch(run)
        thread = threading.Thread(target=watching.run, daemon=True)
        thread.start()
        thread.join(180)
        assert runs.is_alive(run) and not thread.is_alive()
        assert frames[-1].state == "stopped" and "It was stopped" in frames[-1].failure[0]


def test_one_that_told_its_end_is_no_rival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.node", lambda: "here")  # whose lock `at_work` holds
    who = two()
    run, over = recorded(who, final="", until_=6), recorded(who, until_=6)
    with at_work(run), at_work(over):
        assert [line.run for line in talk.rivals()] == [run]


class Broken(Folding):
    def fold(self, batch: object) -> Merging:
        raise ZeroDivisionError


def test_what_nobody_expected_is_said_and_raised() -> None:
    def start() -> Run:
        raise TypeError("x")

    watching, frames = watch(start)
    with pytest.raises(TypeError):
        watching.run()
    assert frames[-1].state == "failed" and "TypeError" in frames[-1].failure[0]
    watching, frames = watch(recorded(two()), Broken())
    with pytest.raises(ZeroDivisionError):
        watching.run()
    assert frames[-1].is_over and "What runs goes on" in frames[-1].failure[1]


async def test_a_start_that_breaks_leaves_a_screen_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: object) -> Run:
        raise TypeError("x")

    monkeypatch.setattr(merge, "start", start)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4))
        await press(pilot, "t")
        await until(pilot, lambda: "✗ failed" in shown(pilot))
        assert "Something went wrong" in toasts(pilot)
        await press(pilot, "r")
        assert screen.is_form


async def test_an_earlier_one_that_cannot_be_read_holds_up_no_key(
    monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    who = two(4, 4)
    plan = Draft.of(who).plan.document()
    run = recorded(who)
    runs.add_to_info(run, options={**plan, "method": ["linear"], "out": ""})
    assert Draft.again(run) is None

    def latest(*_: object) -> Run:
        raise OSError("x")

    monkeypatch.setattr(makings, "latest", latest)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(MergeScreen(who))
        await pilot.press("t")
        await until(pilot, lambda: started)
        await ready(pilot)
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_what_is_known_stays_while_a_value_is_turned_and_one_thread_looks() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        form = (await opened(pilot, two(4, 4))).form
        form.take(form.draft.turned("method", 1))
        await pilot.pause(0)
        assert form.seen is not None and "7.34 MB" in shown(pilot) and "LoRA" in shown(pilot)
        await press(pilot, "right", "right", "left")
        await ready(pilot)
        assert len([one for one in pilot.app.workers if one.node is form]) == 1


async def test_the_title_of_a_result_names_what_it_was_made_of() -> None:
    who = two(4, 4)
    recorded(who)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        await press(pilot, "r", "x")
        assert screen.query_one(TitleBar).trail[0] == "r8-pirate"
        await press(pilot, "q")
        assert screen.query_one(TitleBar).trail[0] == "r4-pirate, r8-pirate"


async def test_what_is_typed_is_looked_up_once_it_is_taken_and_in_a_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, bool]] = []
    find = members.of_reference

    def of_reference(text: str) -> Member:
        asked.append((text, threading.current_thread() is threading.main_thread()))
        return find(text)

    monkeypatch.setattr(members, "of_reference", of_reference)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4)[:1])
        await press(pilot, "plus", "r", "8")
        assert not asked
        await typed(pilot, "r8-pirate")
        assert asked == [("r8-pirate", False)] * 2 and len(screen.form.draft.plan.members) == 2


def test_a_folder_that_takes_nothing_is_in_the_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # who tests may be root
    found = merge_outlook.look_at(Draft.of(two(4, 4)).with_value("out", str(tmp_path / "new")))
    assert "read-only" in str(found.problems)


async def test_an_adapter_that_changed_since_is_said_beside_the_proof() -> None:
    who = [adapter("r4-pirate")]
    recorded(who, digests={who[0].id: merging.digest(who[0])})
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "proof ✓ PASS" in shown(pilot) and "earlier" not in shown(pilot)
        await press(pilot, "q")
        write_adapter(Path(who[0].path), r=4, size=0.2)
        await opened(pilot, who)
        assert "▲ of an earlier adapter" in shown(pilot) and "proof ✓ PASS" not in shown(pilot)
        assert "r4-pirate changed since" in shown(pilot)


async def test_one_that_is_over_is_deleted_once_its_engine_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wait = control.wait_until_dead

    def leaving(run: Run, seconds: float) -> bool:
        lock.close()
        return wait(run, seconds)

    monkeypatch.setattr(control, "wait_until_dead", leaving)
    who = two(4, 4)
    run = recorded(who, final="stopped", until_=6)
    with at_work(run) as lock:
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            screen = await opened(pilot, who)
            assert "D" in keys(screen) and "s" not in keys(screen)
            await pilot.press("D")
            await settled(pilot)
            await press(pilot, "y")
            await until(pilot, lambda: not run.path.exists())
