"""From a run to its merge or export: keys on Home and on the run's own screen, and the palette."""

from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.export import ExportScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.merge import MergeScreen
from lora_tui.tui.screens.training import TrainingScreen

from .comparisons import trained
from .conftest import Maker, settled, shown, toasts
from .data_reports import until
from .exports import press, ready, usual
from .merges import two

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)


async def at_runs(pilot: Pilot[Any], *keys: str) -> None:
    await settled(pilot)
    await press(pilot, "tab", *keys)


def names(screen: object) -> list[str]:
    assert isinstance(screen, MergeScreen)
    return [one.name for one in screen.form.draft.plan.members]


async def test_e_exports_the_run_at_the_cursor_and_m_merges_it() -> None:
    who = usual()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await at_runs(pilot)
        assert "m merge  e export" in shown(pilot).splitlines()[-1]
        await press(pilot, "e")
        screen = await ready(pilot)
        assert isinstance(pilot.app.screen, ExportScreen) and screen.member == who
        await press(pilot, "q", "m")
        assert isinstance(pilot.app.screen, MergeScreen)


async def test_marked_runs_are_merged_and_exported_one_at_a_time() -> None:
    two()
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await at_runs(pilot, "space", "space", "e")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert "2 runs are marked, and one is exported at a time." in toasts(pilot)
        await press(pilot, "m")
        screen = pilot.app.screen
        await until(pilot, lambda: names(screen) == ["r4-pirate", "r8-pirate"])


async def test_what_has_saved_nothing_or_is_no_adapter_is_said(make_run: Maker) -> None:
    make_run("no-result", "crashed", number=30)
    trained("whole", number=40, steps=1, lora__method="full")
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await at_runs(pilot, "m")
        assert "whole left a whole model: there is no adapter to merge." in toasts(pilot)
        await press(pilot, "j", "e", "m")
        assert toasts(pilot).count("no-result has saved no adapter yet.") == 2
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_a_finished_run_is_exported_from_its_own_screen(make_run: Maker) -> None:
    usual()
    live = make_run("at-work", "running", number=40)
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        await at_runs(pilot, "j", "enter")
        assert isinstance(pilot.app.screen, TrainingScreen)
        await until(pilot, lambda: "e export" in shown(pilot).splitlines()[-1])
        await press(pilot, "e")
        await ready(pilot)
        await press(pilot, "q", "q")
        pilot.app.open_run(live)  # type: ignore[attr-defined]
        await until(pilot, lambda: "● running" in shown(pilot))
        assert "e export" not in shown(pilot).splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "kind"), [("export a run", ExportScreen), ("merge runs", MergeScreen)]
)
async def test_the_palette_does_it_from_the_presets_too(typed: str, kind: type) -> None:
    usual()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "colon")
        await pilot.press(*typed)
        await pilot.pause(0.5)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, kind))
