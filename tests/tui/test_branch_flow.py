"""A run that ended goes on as a branch: asked, explained, and only then begun."""

from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lora_tui.core import branching, preset_files, runs
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import launch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.go_on import GoOn
from lora_tui.tui.screens.training import TrainingScreen

from .conftest import Maker, settled, shown, toasts

SIZE = (80, 24)


@pytest.fixture
def finished(make_run: Maker) -> Run:
    """Fifty steps, with checkpoints at the last two places."""
    return with_checkpoints(make_run("alpaca", "finished", steps=50))


def with_checkpoints(run: Run) -> Run:
    changes = {"training.max_steps": 50, "training.warmup_steps": 0}
    run.preset.write_text(preset_files.dumps(changed(Preset(name="alpaca"), changes)))
    for step in (40, 50):
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text("{}")
    return run


@pytest.fixture
def resumed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """No engine is launched."""
    found: list[Run] = []
    monkeypatch.setattr(launch, "resume", lambda run, **_: found.append(run))
    return found


async def opened(pilot: Pilot[Any], *pressed: str) -> None:
    await settled(pilot)
    for key in pressed:
        await pilot.press(key)
        await settled(pilot)


def test_the_form(shipped: Path, finished: Run, snap_compare: Any) -> None:
    async def prepare(pilot: Pilot[Any]) -> None:
        await opened(pilot, "tab", "R")
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.pause()

    assert snap_compare(LoraTuiApp(), terminal_size=SIZE, run_before=prepare)


def test_what_will_happen(shipped: Path, finished: Run, snap_compare: Any) -> None:
    async def prepare(pilot: Pilot[Any]) -> None:
        await opened(pilot, "tab", "R", "enter")

    assert snap_compare(LoraTuiApp(), terminal_size=SIZE, run_before=prepare)


async def test_a_finished_run_goes_on_with_more_steps(
    shipped: Path, finished: Run, resumed: list[Run]
) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, "tab", "R")
        assert isinstance(pilot.app.screen, Ask)
        name, step, steps, _ = (field.value for field in pilot.app.screen.query(Input))
        assert (name, step, steps) == ("alpaca-2", "50", "100")
        await opened(pilot, "enter")
        assert isinstance(pilot.app.screen, Confirm)
        assert "Steps 51 to 100: linear, from 1.0e-4 to 0." in shown(pilot)
        assert not resumed and len(runs.list_runs()) == 1
        await opened(pilot, "y")
        (made,) = resumed
        assert branching.origin(made) == branching.Origin(finished.id, 50, (50,))
        assert preset_files.load(made.preset).training.max_steps == 100
        assert isinstance(pilot.app.screen, TrainingScreen) and pilot.app.screen.run == made


async def test_what_cannot_be_is_said_and_can_be_changed(
    shipped: Path, finished: Run, resumed: list[Run]
) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, "tab", "R")
        fields = list(pilot.app.screen.query(Input))
        fields[1].value = "45"
        await settled(pilot)
        assert "Checkpoints are kept of 40, 50." in shown(pilot)
        fields[1].value, fields[2].value = "50", "30"
        await opened(pilot, "enter")
        assert "A branch from step 50 that ends at step 30" in shown(pilot)
        list(pilot.app.screen.query(Input))[2].value = "60"
        await opened(pilot, "enter")
        assert "Steps 51 to 60" in shown(pilot)
        await opened(pilot, "n")  # back to the form, as it was filled in
        assert list(pilot.app.screen.query(Input))[2].value == "60"
        await opened(pilot, "escape")
    assert not resumed and len(runs.list_runs()) == 1


@pytest.mark.parametrize("key", ["y", "b"])
async def test_a_stopped_run_goes_on_here_or_as_a_branch(
    key: str, shipped: Path, make_run: Maker, resumed: list[Run]
) -> None:
    run = with_checkpoints(make_run("alpaca", "stopped", steps=40))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, "tab", "R")
        assert isinstance(pilot.app.screen, GoOn)
        await opened(pilot, key)
        assert resumed == ([run] if key == "y" else [])
        assert isinstance(pilot.app.screen, Ask) == (key == "b")


async def test_a_stopped_run_without_a_checkpoint_starts_anew(
    shipped: Path, make_run: Maker, resumed: list[Run]
) -> None:
    run = make_run("alpaca", "stopped", steps=3)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, "tab", "R")
        assert "It has no complete checkpoint, so it starts at step 0." in shown(pilot)
        await opened(pilot, "escape")
        assert resumed == []
        await opened(pilot, "R")
        await opened(pilot, "enter")
        assert resumed == [run]


async def test_a_run_without_a_checkpoint_says_so(
    shipped: Path, make_run: Maker, resumed: list[Run]
) -> None:
    make_run("alpaca", "finished", steps=50)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, "tab", "R")
        assert "no complete checkpoint to branch from" in toasts(pilot)
    assert not resumed
