"""The check by keys: what it shows while it looks, what it comes to, and what can be done then."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import locations, preset_files, runs
from lora_tui.core.items import Item
from lora_tui.core.preset_files import Entry, changed
from lora_tui.tui import check_words
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.check_watching import CheckWatch, Frame
from lora_tui.tui.screens.check import CheckScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper

GREEN = tuple(Item(name, "green", f"{name} is fine") for name in check_words.ORDER)
BATCH = {
    "training.per_device_train_batch_size": 4,
    "training.gradient_accumulation_steps": 2,
}


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """No job is started: frames are put in by hand. Gives what jobs were asked for."""
    asked: list[dict[str, Any]] = []

    def follow(_: CheckScreen, watch: CheckWatch) -> None:
        asked.append(dict(watch._options))

    monkeypatch.setattr(CheckScreen, "follow_job", follow)
    return asked


def put(screen: CheckScreen, *items: Item, **more: Any) -> None:
    screen.post_message(screen.Arrived(Frame(items, **more), screen._cancelled))


def demo() -> CheckScreen:
    entry = Entry.read(locations.shipped_presets_folder() / "demo.toml", shipped=True)
    assert entry.preset is not None
    return CheckScreen(entry, entry.preset)


async def opened(pilot: Pilot[None], screen: CheckScreen) -> None:
    await pilot.app.push_screen(screen)
    await pilot.pause()


def text(screen: CheckScreen) -> str:
    return screen.query_one(Paper).plain()


def verdict(screen: CheckScreen) -> str:
    return screen.query_one("#verdict", Painting).plain()


def keys(screen: CheckScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


@pytest.mark.usefixtures("by_hand")
async def test_what_is_looked_at_is_shown_in_order_with_what_is_still_to_come() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        put(screen, *GREEN[:2], looking="tokenizer", seconds=4)
        await pilot.pause()
        lines = text(screen).splitlines()
        assert lines[0].split() == ["✓", "preset", "fine", "preset", "is", "fine"]
        assert "tokenizer" in lines[2] and "looking…" in lines[2] and "4 s" in lines[2]
        assert [line.split()[0] for line in lines[3:]] == list(check_words.ORDER[3:])
        assert "b" not in keys(screen)  # not before it is over


@pytest.mark.usefixtures("by_hand")
async def test_wrong_things_say_what_to_do_and_stop_what_stands_on_them() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        red = Item("model", "red", "It is not here. " * 8, "Name a folder.\nOr connect.")
        put(screen, GREEN[0], red, looking="", is_over=True)
        await pilot.pause()
        said = text(screen)
        assert "✗ model" in said and "wrong" in said
        assert "Name a folder.\n" in said and "Or connect." in said
        assert said.count("not looked at") == len(check_words.ORDER) - 2
        assert all(len(line) <= 78 for line in said.splitlines())
        assert verdict(screen).startswith("1 wrong")


@pytest.mark.usefixtures("by_hand")
async def test_a_check_that_went_well_says_how_long_a_run_takes() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        look = Item("data", "yellow", "few rows", "Get more.")
        put(screen, *GREEN[:3], look, looking="", is_over=True, figures={"seconds": 696.0})
        await pilot.pause()
        assert verdict(screen) == "nothing is wrong, 1 to look at  t trains it; about 11:36"


async def test_a_batch_that_was_found_goes_into_the_preset_and_is_checked_again(
    by_hand: list[dict[str, Any]],
) -> None:
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        assert by_hand == [{}]
        put(screen, *GREEN, looking="", is_over=True)
        await pilot.pause()
        assert {"b", "t"} <= keys(screen) and "a" not in keys(screen)
        await pilot.press("b")
        assert by_hand == [{}, {"find_batch": True}]
        found = Item("batch", "green", "4 x 2 is the largest", changes=BATCH)
        put(screen, *GREEN, found, looking="", is_over=True)
        await pilot.pause()
        await pilot.press("a")
        await pilot.pause()
        training = screen.preset.training
        assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (
            (4, 2)
        )
        assert by_hand[2:] == [{}]
        assert screen.frame == Frame()  # it looks anew
        assert "training.per_device_train_batch_size" in text(screen)
        assert "training.per_device_train_batch_size" in screen.unsaved
        await pilot.press("u")
        assert not screen.unsaved


@pytest.mark.usefixtures("by_hand")
async def test_a_change_made_in_the_check_goes_back_into_the_form(shipped: Path) -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        entry = Entry.read(shipped / "demo.toml", shipped=True)
        assert entry.preset is not None
        form = PresetForm(entry)
        await pilot.app.push_screen(form)
        screen = CheckScreen(entry, form.draft.preset, is_draft=True)
        await pilot.app.push_screen(screen, form._take)
        put(screen, Item("batch", "green", "", changes=BATCH), looking="", is_over=True)
        await pilot.pause()
        await pilot.press("a")
        await pilot.press("q")
        await pilot.pause()
        assert pilot.app.screen is form
        assert form.draft.preset.training.per_device_train_batch_size == 4
        assert "training.per_device_train_batch_size" in form.unsaved


@pytest.mark.usefixtures("by_hand")
async def test_text_of_a_check_commands_nothing() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        hostile = "[red]x[/red] \x1b[31m \u202e " + "w" * 10_000
        put(screen, Item("data", "red", hostile, hostile), looking="", is_over=True)
        await pilot.pause()
        said = text(screen)
        assert "[red]x[/red]" in said
        assert "\x1b" not in said and "\u202e" not in said


@pytest.mark.usefixtures("by_hand")
async def test_frames_of_an_earlier_check_are_not_shown() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = demo()
        await opened(pilot, screen)
        old = threading.Event()
        screen.post_message(screen.Arrived(Frame(GREEN, "", is_over=True), old))
        await pilot.pause()
        assert not screen.frame.is_over


async def until(condition: Any, seconds: float = 120) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        await asyncio.sleep(0.05)
    pytest.fail("it did not come about")


async def test_a_real_check_from_home_to_the_end_and_its_log() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        home = pilot.app.screen
        assert isinstance(home, HomeScreen)
        await until(lambda: home.presets)
        await pilot.press("c")
        await until(lambda: isinstance(pilot.app.screen, CheckScreen))
        screen = pilot.app.screen
        assert isinstance(screen, CheckScreen)
        await until(lambda: screen.frame.is_over)
        assert [item.name for item in screen.frame.items] == list(check_words.ORDER)
        assert all(item.status == "green" for item in screen.frame.items)
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(pilot.app.screen, LogScreen)


async def test_leaving_ends_the_job() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        preset = preset_files.find("demo")
        entry = Entry.read(locations.shipped_presets_folder() / "demo.toml", shipped=True)
        screen = CheckScreen(entry, preset)
        await opened(pilot, screen)
        await until(lambda: runs.list_runs(locations.reports_folder()))
        (job,) = runs.list_runs(locations.reports_folder())
        await until(lambda: runs.is_alive(job))
        await pilot.press("q")
        await until(lambda: not runs.is_alive(job))
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_what_cannot_start_is_red_too(tmp_path: Path) -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        rows = tmp_path / "rows.jsonl"
        entry = Entry.read(locations.shipped_presets_folder() / "demo.toml", shipped=True)
        preset = changed(preset_files.find("demo"), {"data.source": str(rows)})
        screen = CheckScreen(entry, preset)
        await opened(pilot, screen)
        await until(lambda: screen.frame.is_over)
        await pilot.pause()
        (item,) = screen.frame.items
        assert item.status == "red" and "rows.jsonl" in item.detail
