"""The data screen by keys: its remedies, and what becomes of the preset."""

from typing import Any, cast

import pytest

from lora_tui.core import preset_files
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.jobs import launch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm

from .conftest import settled, shown
from .data_reports import (
    PRESET,
    ready,
    until,
    written,
)
from .data_screens import SIZE, at_row, opened, press


async def test_a_remedy_is_one_key_and_the_report_is_made_anew(reports: Any) -> None:
    asked = reports(written(), written(remedies=[], warnings=[]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await press(pilot, "9", "1")
        await until(pilot, lambda: len(asked) == 2)
        await ready(pilot)
        assert asked[1].model.max_seq_length == 71
        assert "model.max_seq_length  64 → 71" in shown(pilot)
        assert "unsaved" in shown(pilot).splitlines()[0] and "s save" in shown(pilot)
        assert screen.unsaved == "model.max_seq_length"
        await press(pilot, "u")
        await until(pilot, lambda: len(asked) == 3)
        assert asked[2] == PRESET and not screen.unsaved


async def test_reading_anew_stays_at_the_row(reports: Any) -> None:
    asked = reports(written(), written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "end", "r")
        await until(pilot, lambda: len(asked) == 2)
        await ready(pilot)
        await at_row(pilot, 6)


async def test_a_column_is_mapped_in_two_choices(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "m")
        assert isinstance(pilot.app.screen, Choose)
        assert "completion what is answered: trained on" in shown(pilot)
        assert "→ answer" in shown(pilot)
        await press(pilot, "j", "j", "enter")
        assert "Which column is the completion?" in shown(pilot)
        await press(pilot, "k", "enter")
        await until(pilot, lambda: len(asked) == 2)
        assert asked[1].data.columns == ("prompt=question", "completion=question")
        await press(pilot, "m", "enter", "enter")  # messages, the first column
        await until(pilot, lambda: len(asked) == 3)
        assert asked[2].data.columns == ("messages=question",)
        await press(pilot, "m", "escape")
        assert len(asked) == 3


async def test_leaving_asks_about_what_was_changed(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "q")
        assert "Unsaved changes" in shown(pilot) and "data.too_long" in shown(pilot)
        await press(pilot, "escape")
        assert pilot.app.screen is screen
        await press(pilot, "q", "enter")
        assert isinstance(pilot.app.screen, Ask)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, HomeScreen)
    assert preset_files.find("my-demo").data.too_long == "drop"


async def test_saved_changes_are_not_asked_about(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "s", "enter")
        assert "my-demo  data" in shown(pilot) and "unsaved" not in shown(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_train_takes_the_changed_preset(
    reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: None)
    monkeypatch.setattr(launch, "located", lambda preset: preset)
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "2", "t")
        assert "Train demo" in shown(pilot)
        await press(pilot, "enter")
    assert asked[-1].data.too_long == "drop" and len(asked) == 3


@pytest.mark.usefixtures("shipped")
async def test_the_form_goes_on_with_what_was_changed_in_its_data(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "enter", "2", "right", "d")
        await ready(pilot)
        assert asked[0].lora.method == "full", "the draft, not the file"
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "escape")
        form = cast("PresetForm", pilot.app.screen)
        assert form.draft.preset.data.too_long == "drop"
        assert form.unsaved == "lora.method, data.too_long"
        await press(pilot, "d")
        await ready(pilot)
        await press(pilot, "1")
        await until(pilot, lambda: len(asked) == 4)
        await press(pilot, "s", "enter", "escape")
        assert pilot.app.screen_stack[-1] is form
        assert "my-demo  saved" in shown(pilot) and not form.unsaved


@pytest.mark.usefixtures("shipped")
async def test_home_says_what_is_wrong_with_a_path_and_opens_nothing() -> None:
    wrong = changed(Preset(), {"data.source": "/no/such.jsonl"})
    preset_files.save(wrong, "wrong")
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await settled(pilot)
        assert "d data" in shown(pilot)
        await press(pilot, "G", "d")
        assert isinstance(pilot.app.screen, Notice)
        assert 'there is no "/no/such.jsonl"' in shown(pilot)
