"""A comparison at work, ended, broken or gone; in ASCII and at any size."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from lora_tui.core import events, runs
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import control
from lora_tui.jobs.compare import Asked
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen

from .compare_screens import SIZE, frames, keys, page
from .comparisons import of, opened, ready, recorded, screen_of, usual
from .conftest import settled, shown
from .data_reports import at_work, until

pytestmark = pytest.mark.usefixtures("shipped")


# --- what goes on -----------------------------------------------------------------------------


async def test_a_comparison_at_work_is_shown_as_it_grows_and_goes_on_when_left() -> None:
    who = of(usual())
    run = recorded(who, final="", until_=3)
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            screen = await opened(pilot, run, who)
            assert "starting the engine…" in shown(pilot) or "●" in shown(pilot)
            assert "trained parameters" in page(screen), "what files say is there at once"
            assert "leaving lets it go on" in shown(pilot) and "S stop" in shown(pilot)
            events.append(run.events, "doing", id=who[1].id, what="KL from the base")
            events.append(run.events, "measured", id=who[0].id, held_out_loss=1.234)
            await until(pilot, lambda: "1.234" in page(screen))
            assert "● b r8-pirate: KL from the base…" in shown(pilot)
            assert "● running" in shown(pilot)
            await pilot.press("q")
            await settled(pilot)
            assert isinstance(app.screen, HomeScreen) and runs.is_alive(run)


async def test_quitting_says_that_what_is_measured_goes_on() -> None:
    run = recorded(of(usual()), final="")
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, run)
            await pilot.press("ctrl+q")
            await settled(pilot)
            said = shown(pilot)
            assert "1 comparison goes on without this app" in said and run.id in said


async def test_one_that_ended_early_is_measured_anew(
    asked_for: list[tuple[list[Member], Asked]],
) -> None:
    who = of(usual())
    run = recorded(who, final="stopped", until_=4, settings={"number": 7})
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, run)
        assert "r anew" in shown(pilot)
        await pilot.press("r")
        await settled(pilot)
        screen = await ready(pilot)
        assert [(one[0], one[1].number) for one in asked_for] == [(who, 7)]
        assert "r" not in keys(screen) and screen.frame.run != run


async def test_stopping_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    who = of(usual())
    stopped: list[Run] = []
    monkeypatch.setattr(control, "stop", stopped.append)
    run = recorded(who, final="")
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, run, who)
            await pilot.press("S")
            await settled(pilot)
            assert isinstance(app.screen, Confirm)
            await pilot.press("n", "S")
            await settled(pilot)
            assert not stopped
            await pilot.press("y")
            await settled(pilot)
            assert stopped == [run]


@pytest.mark.parametrize(
    ("final", "last", "says"),
    [
        ("failed", {"summary": "The base is gone.", "hint": "Fetch it."}, "The base is gone."),
        ("stopped", {}, "It was stopped: what was measured before is kept."),
        ("", {}, "killed from outside, or out of memory"),
    ],
)
async def test_how_it_ended_is_said_with_what_to_do(
    final: str, last: dict[str, Any], says: str
) -> None:
    who = of(usual())
    run = recorded(who, final=final, until_=6, **last)
    run.log.write_text("one\nKilled by the kernel\n")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        assert says in " ".join(shown(pilot).split())
        assert ("Killed by the kernel" in shown(pilot)) is (not final)
        assert "r4-pirate" in shown(pilot) and {"r", "g"} <= keys(screen)
        await pilot.press("g")
        await settled(pilot)
        assert isinstance(pilot.app.screen, LogScreen)


def test_garbage_among_the_events_hurts_nobody() -> None:
    who = of(usual())
    run = recorded(who)
    odd = [
        {"kind": "output", "prompt": 99, "id": "x", "text": "y"},
        {"kind": "output"},
        {"kind": "members", "members": [{}]},
        {"kind": "prompts", "prompts": 3},
    ]
    with run.events.open("a") as file:
        file.write("".join(json.dumps(one) + "\n" for one in odd) + '{"kind": "outp')
    looks = [Look(pane=pane, width=76, height=18) for pane in ("table", "outputs", "moved")]
    found = frames(run, who, *looks)
    assert [one.look for one in found][-1] == looks[-1]
    assert "r4-pirate" in str(found[-1].page)


async def test_before_any_event_the_names_stand() -> None:
    who = of(usual())
    run = recorded(who, final="", until_=0)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, run, who)
            assert "a r4-pirate" in shown(pilot) and "starting the engine…" in shown(pilot)
            for key, says in (("3", "not chosen yet"), ("4", "-"), ("2", "0.6")):
                await pilot.press(key)
                await ready(pilot)
                assert says in page(screen_of(pilot))


async def test_a_comparison_deleted_meanwhile_says_so() -> None:
    who = of(usual())
    run = recorded(who, final="")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        with at_work(run):
            await opened(pilot, run, who)
            shutil.rmtree(run.path)
        await until(pilot, lambda: "it was deleted" in shown(pilot))


async def test_in_ascii_everything_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    who = of(usual())
    run = recorded(who, equal=[who[0].id], warnings=["Something."])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        for key in "1234":
            await pilot.press(key)
            await ready(pilot)
            assert page(screen).isascii()
            assert all(line.isascii() for line in shown(pilot).splitlines()[1:])
        await pilot.press("3", "right")
        await ready(pilot)
        assert "[Arr!]" in page(screen)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (60, 20), (200, 60)])
async def test_every_pane_stands_at_any_size(size: tuple[int, int]) -> None:
    who = of(usual())
    run = recorded(who)
    async with LoraTuiApp().run_test(size=size) as pilot:
        screen = await opened(pilot, run, who)
        for key in "1234":
            await pilot.press(key, "right")
            await ready(pilot)
            assert screen.frame.page and not pilot.app._notifications


def test_opening_the_app_loads_no_comparison(fresh_python: Callable[[str], str]) -> None:
    late = ("plotext", "lora_tui.tui.screens.compare", "lora_tui.tui.compare_flows")
    code = f"import sys, lora_tui.tui.app; print([m for m in {late!r} if m in sys.modules])"
    assert fresh_python(code) == "[]"
