"""Marking runs on Home, and what is opened with them: a comparison, a chat, an earlier one."""

import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import runs
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import compare
from lora_tui.jobs.compare import Asked
from lora_tui.tui import chat_flows, look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.merge import MergeScreen
from lora_tui.tui.widgets.run_list import RunList

from . import merges
from .comparisons import of, ready, recorded, screen_of, trained, usual
from .conftest import Maker, settled, shown, toasts
from .data_reports import until

pytestmark = pytest.mark.usefixtures("shipped")


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Names of those that were compared: no engine is launched."""
    found: list[list[str]] = []

    def start(who: Sequence[Member], asked: Asked) -> Run:
        found.append([one.name for one in who])
        return recorded(who)

    monkeypatch.setattr(compare, "start", start)
    return found


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def marked(pilot: Pilot[Any]) -> list[str]:
    run_list = pilot.app.screen_stack[0].query_one(RunList)
    return sorted(key.partition("-12")[2][3:] for key in run_list.marked)


async def test_space_marks_and_unmarks_and_goes_on_to_the_next() -> None:
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "space", "space")
        assert marked(pilot) == ["full-pirate", "r8-pirate"]
        assert "Runs · 2 marked" in shown(pilot)
        lines = shown(pilot).splitlines()
        row = next(line for line in lines if "r8-pirate" in line and "finished" in line)
        assert "│ ◆✓ r8-pirate" in row
        assert next(line for line in lines if "✓ r4-pirate" in line).count("◆") == 0
        await press(pilot, "g", "space")
        assert marked(pilot) == ["r8-pirate"] and "1 marked" in shown(pilot)
        assert " enter open  space mark  c compare  m merge  e export" in shown(pilot)


async def test_marks_outlast_refreshes_and_filters_but_not_their_runs() -> None:
    found = usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        await press(pilot, "tab", "space", "space", "space", "slash", *"r8", "enter")
        assert "Runs · 3 marked · 1 of 3 with r8" in shown(pilot)
        trained("newer", number=9)
        home.look(at_all=True)
        await settled(pilot)
        await press(pilot, "escape")
        assert len(marked(pilot)) == 3, "the filter goes first"
        runs.delete(found[0])
        home.look(at_all=True)
        await settled(pilot)
        assert marked(pilot) == ["full-pirate", "r8-pirate"] and "2 marked" in shown(pilot)
        await press(pilot, "escape")
        assert marked(pilot) == [] and "marked" not in shown(pilot)


async def test_the_marked_runs_are_compared_oldest_first(compared: list[list[str]]) -> None:
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "space", "j", "space", "c")
        await ready(pilot)
        assert compared == [["r4-pirate", "full-pirate"]]
        await press(pilot, "q")
        assert len(marked(pilot)) == 2, "they are still marked when one comes back"


async def test_without_marks_the_run_at_the_cursor_is_compared(compared: list[list[str]]) -> None:
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "j", "c")
        await ready(pilot)
        assert compared == [["r8-pirate"]]


async def test_c_still_checks_a_preset_and_space_does_nothing_there() -> None:
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "c check" in shown(pilot).splitlines()[-1]
        await press(pilot, "space")
        assert marked(pilot) == []


async def test_runs_without_a_result_are_named_and_left_out(
    compared: list[list[str]], make_run: Maker
) -> None:
    usual()
    make_run("no-result", "crashed", number=30)
    async with LoraTuiApp().run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "c")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert "no-result has saved no adapter yet" in toasts(pilot) and not compared
        await press(pilot, "space", "space", "c")
        await ready(pilot)
        assert compared == [["full-pirate"]]
        assert "Left out 20261123-1230-no-result has saved no adapter yet." in toasts(pilot)


async def test_beside_a_live_run_it_is_asked_first(
    compared: list[list[str]], make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual()
    make_run("at-work", "running", number=40)
    monkeypatch.setattr("lora_tui.jobs.talk.platform.node", lambda: "here")
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "j", "c")
        assert isinstance(pilot.app.screen, Confirm)
        assert "at-work is running on this machine" in " ".join(shown(pilot).split())
        await press(pilot, "n")
        assert not compared and isinstance(pilot.app.screen, HomeScreen)
        await press(pilot, "c", "enter")
        await ready(pilot)
        assert compared == [["full-pirate"]]


async def test_the_marked_runs_are_asked_in_a_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    async def open_chat(app: object, who: Sequence[Member]) -> None:
        asked.append([one.name for one in who])

    monkeypatch.setattr(chat_flows, "open_chat", open_chat)
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "space", "space", "a")
        assert asked == [["r8-pirate", "full-pirate"]]


async def test_earlier_comparisons_are_listed_and_opened_again() -> None:
    found = usual()
    async with LoraTuiApp().run_test(size=(80, 24), notifications=True) as pilot:
        await settled(pilot)
        await press(pilot, "o")
        assert "Nothing was compared or merged yet" in toasts(pilot)
        recorded(of(found))
        recorded(of(found[:1]), final="failed", summary="No.", hint="Try.")
        merges.recorded(of(found[:2]))
        await press(pilot, "o")
        assert isinstance(pilot.app.screen, Choose)
        lines = shown(pilot).splitlines()
        assert any("✓" in one and "compared  r4-pirate, r8-pirate, full-" in one for one in lines)
        assert any("✗" in one and "compared  r4-pirate" in one and "r8" not in one for one in lines)
        assert any("✓" in one and "merged    r4-pirate, r8-pirate" in one for one in lines)
        await press(pilot, "j", "enter")
        screen = await ready(pilot)
        assert screen.frame.state in {"finished", "failed"}


@pytest.mark.parametrize("keys", [("o", "j", "enter"), ("colon",)])
async def test_a_merge_is_found_again_from_home_though_a_later_one_is_of_the_same_runs(
    keys: tuple[str, ...],
) -> None:
    who = of(usual()[:2])
    first = merges.recorded(who, final="stopped")
    merges.recorded(who)
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, *keys)
        if keys == ("colon",):
            await pilot.press(*f"merge r4 {first.id}")
            await pilot.pause(0.5)
            await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, MergeScreen))
        screen = await merges.ready(pilot)
        assert screen.run_shown == first and "■ stopped" in shown(pilot)


@pytest.mark.parametrize("keys", [("o", "enter"), ("colon",)])
async def test_a_comparison_whose_runs_are_gone_opens_from_the_list_and_the_palette(
    keys: tuple[str, ...],
) -> None:
    found = usual()
    recorded(of(found))
    for run in found:
        shutil.rmtree(run.path)
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, *keys)
        if keys == ("colon",):
            await pilot.press(*"comparison r4")
            await pilot.pause(0.5)
            await pilot.press("down", "enter")
        await ready(pilot)
        assert isinstance(screen_of(pilot), CompareScreen)
        assert "a r4-pirate" in shown(pilot) and "61.44k" in shown(pilot)


async def test_the_palette_compares_the_marked_runs_from_the_presets_too(
    compared: list[list[str]],
) -> None:
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "space", "space", "tab", "colon")
        await pilot.press(*"compare runs")
        await pilot.pause(0.5)
        await pilot.press("down", "enter")
        await ready(pilot)
        assert compared == [["r8-pirate", "full-pirate"]]


async def test_in_ascii_a_mark_is_a_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    usual()
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        await press(pilot, "tab", "space")
        assert "M+ full-pirate" in shown(pilot)
