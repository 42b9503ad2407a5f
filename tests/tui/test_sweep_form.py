"""The form of a sweep: what is typed, what it comes to, and that it starts only when it can."""

from collections.abc import Iterator
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lora_tui.core import devices, runs, sweeps
from lora_tui.core import queue as tickets
from lora_tui.core.preset_files import find
from lora_tui.core.presets import Preset
from lora_tui.jobs import keeping, machine
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.sweep import SweepScreen
from lora_tui.tui.screens.sweep_form import SweepForm
from lora_tui.tui.sweep_draft import Draft, wrong_with, wrong_with_key

from .conftest import PLACE, settled, shown
from .data_reports import until

SIZE = (100, 34)


@pytest.fixture(autouse=True)
def one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same machine everywhere, on which nothing starts."""
    monkeypatch.setattr(machine, "place_of", lambda *_: PLACE)
    monkeypatch.setattr(keeping, "is_needed", lambda: False)


@pytest.fixture
def busy() -> Iterator[None]:
    """The processor is another run's."""
    taken = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    assert taken
    yield
    taken.close()


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def typed(pilot: Pilot[Any], text: str) -> None:
    """Into a dialogue, in place of what stands in it, as a paste does: at once."""
    assert isinstance(pilot.app.screen, Ask)
    pilot.app.screen.query_one(Input).value = text
    await settled(pilot)


async def form(pilot: Pilot[Any]) -> SweepForm:
    """The form, planned, from Home."""
    await settled(pilot)
    await press(pilot, "s")
    screen = pilot.app.screen
    assert isinstance(screen, SweepForm)
    await planned(pilot, screen)
    return screen


async def planned(pilot: Pilot[Any], screen: SweepForm) -> None:
    await until(pilot, lambda: screen.plan is not None)
    await settled(pilot)


async def test_it_begins_with_the_usual_ranks_and_says_what_they_take() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await form(pilot)
        text = shown(pilot)
        assert "8, 16, 32, 64" in text and "4, one after another" in text
        assert "155.6k" in text and "t starts all 4" in text and "alpha / r = 2, 1" in text
        await press(pilot, "down", "space")
        await planned(pilot, screen)
        text = shown(pilot)
        assert "full      3.67M" in text and "a tenth of the preset's" in text
        assert "t starts all 5" in text
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_values_are_typed_and_what_does_not_fit_is_said_before_it_is_taken() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await form(pilot)
        await press(pilot, "enter")
        await typed(pilot, "4,x")
        assert '"x" is not a whole number.' in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, Ask)
        await typed(pilot, "4,8")
        await press(pilot, "enter")
        await planned(pilot, screen)
        assert screen.draft.grid == {"lora.r": (4, 8)} and "t starts all 2" in shown(pilot)


async def test_one_more_setting_multiplies_the_runs_and_can_be_left_out_again() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await form(pilot)
        await press(pilot, "plus")
        await typed(pilot, "learning_rate")
        assert "did you mean training.learning_rate?" in shown(pilot)
        await typed(pilot, "training.learning_rate")
        await press(pilot, "enter")
        await typed(pilot, "1e-3,2e-3")
        await press(pilot, "enter")
        await planned(pilot, screen)
        assert "8, one after another" in shown(pilot) and "r64-lr0.002" in shown(pilot)
        await press(pilot, "down", "x")
        await planned(pilot, screen)
        assert list(screen.draft.grid) == ["lora.r"]
        await press(pilot, "up", "x")  # the last one stays
        assert list(screen.draft.grid) == ["lora.r"]


async def test_what_is_in_the_way_is_listed_and_nothing_starts() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await form(pilot)
        wrong = {"model.load_in_4bit": (True, False), "training.eval_steps": (0, 30)}
        screen._take(Draft(screen.draft.preset, wrong, halving=True, name="no"))
        await planned(pilot, screen)
        assert "2 things are in the way" in shown(pilot)
        assert "model.load_in_4bit" in shown(pilot) and "(load_in_4bit-true" in shown(pilot)
        assert "training.eval_steps: halving goes by held-out losses" in shown(pilot)
        await press(pilot, "t")
        assert pilot.app.screen is screen and sweeps.list_sweeps() == []


@pytest.mark.usefixtures("busy")
async def test_it_starts_all_runs_and_shows_them_and_home_finds_them_again() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await form(pilot)
        await press(pilot, "down", "space", "t")
        await until(pilot, lambda: isinstance(pilot.app.screen, SweepScreen))
        await until(pilot, lambda: "◌ full queued" in shown(pilot))
        (sweep,) = sweeps.list_sweeps()
        assert [ticket.run for ticket in tickets.waiting()] == list(sweep.runs)
        assert sweep.labels == ("r8", "r16", "r32", "r64", "full")
        assert "0 of 5 ended" in shown(pilot)
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)
        await press(pilot, "o")
        assert "swept     demo-sweep" in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, SweepScreen)


def test_a_draft_of_full_fine_tuning_begins_with_rates() -> None:
    draft = Draft.of(find("smollm2-full"))
    assert draft.grid == {"training.learning_rate": (2.5e-5, 5e-5, 1e-4)}
    assert draft.turned("with_full").with_full and draft.turned("name") == draft
    assert draft.own_value("lora.r") == 16
    assert wrong_with("lora.r", "8,16") is None and wrong_with("lora.r", "0")
    known = Draft.of(find("demo"))
    assert "swept already" in (wrong_with_key(known, "lora.r") or "")
    assert wrong_with_key(known, "training.seed") is None
    assert wrong_with_key(known, "") == "As in training.learning_rate."
