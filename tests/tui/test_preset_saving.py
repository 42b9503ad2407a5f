"""Where a preset is saved, what is asked before, and what the difference is."""

from pathlib import Path

import pytest

from lora_tui.core import locations, preset_files, runs
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import queue
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm

from .conftest import shown, toasts
from .preset_forms import mine, opened, press


async def test_saving_a_shipped_preset_makes_a_preset_of_ones_own(shipped: Path) -> None:
    before = (shipped / "demo.toml").read_bytes()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "s")
        assert isinstance(app.screen, Ask)
        await press(pilot, "enter")
        assert "my-demo  saved" in shown(pilot)
        await press(pilot, "escape")
        assert not isinstance(app.screen, PresetForm)
    assert (shipped / "demo.toml").read_bytes() == before
    assert preset_files.find("my-demo").lora.method == "full"


async def test_ones_own_preset_is_saved_in_its_place_by_either_key() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right", "s")
        assert preset_files.load(path).lora.method == "full"
        await press(pilot, "j", "enter", "end", "4", "ctrl+s")
        assert preset_files.load(path).lora.r == 164


async def test_a_preset_is_saved_in_the_file_it_was_opened_from() -> None:
    other = preset_files.save(Preset(description="Another."), "my-preset")
    path = other.with_name("My Preset.toml")
    path.write_text('description = "Mine."\n')
    before = other.read_bytes()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right", "s")
        assert "My Preset  saved" in shown(pilot)
    assert preset_files.load(path).lora.method == "full"
    assert other.read_bytes() == before


async def test_save_as_asks_before_it_replaces(shipped: Path) -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "a")
        await press(pilot, *"mine", "enter")
        assert isinstance(app.screen, Confirm)
        assert "mine exists" in shown(pilot)
        await press(pilot, "n")
        assert preset_files.load(path).lora.method == "lora"
        await press(pilot, "a", *"No/pe")
        assert "take no-pe" in shown(pilot)


async def test_a_file_changed_by_another_program_is_not_overwritten_unasked() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right")
        path.write_text("[lora]\nr = 5\n")
        await press(pilot, "s")
        assert "was changed by another program" in " ".join(shown(pilot).split())
        await press(pilot, "n")
        assert preset_files.load(path).lora.r == 5
        path.unlink()
        await press(pilot, "s")
        assert "was removed" in " ".join(shown(pilot).split())
        await press(pilot, "y")
        assert preset_files.load(path).lora.method == "full"


async def test_a_vanished_file_is_told_when_the_difference_is_asked_for() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test(size=(160, 30), notifications=True) as pilot:
        form = await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right")
        path.unlink()
        await press(pilot, "f")
        assert "There is no preset at" in toasts(pilot)
        assert app.screen is form


async def test_the_difference_names_key_was_and_is(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "j", "enter", "end", "x", "enter", "f")
        assert isinstance(app.screen, Notice)
        assert "lora.method  lora  →  full" in shown(pilot)
        assert "lora.r         16  →  16x" in shown(pilot)


async def test_leaving_asks_about_unsaved_changes(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "escape")
        assert "Unsaved changes" in shown(pilot) and "lora.method" in shown(pilot)
        await press(pilot, "escape")
        assert app.screen is form
        await press(pilot, "escape")
        await press(pilot, "j", "enter")
        assert app.screen is app.screen_stack[0]
        assert not locations.user_presets_folder().exists()


async def test_train_takes_what_is_on_the_screen(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_runs: list[Run] = []
    monkeypatch.setattr(queue, "submit", lambda run, verb: True)
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: opened_runs.append(run))
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "t")
        await press(pilot, "enter")
    (run,) = runs.list_runs()
    assert opened_runs == [run]
    assert preset_files.load(run.preset).lora.method == "full"
