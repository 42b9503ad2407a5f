"""A sweep at work and ended: its table, its charts, and what its keys do."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import events, runs, sweep_rows, sweeps
from lora_tui.core.runs import Run
from lora_tui.core.sweeps import Sweep
from lora_tui.jobs import control
from lora_tui.tui import sweep_page, sweep_words
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.sweep import SweepScreen
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.widgets.sweep_list import SweepList

from ..adapters import write_adapter
from ..sweeps import finished, told
from .conftest import settled, shown, toasts
from .data_reports import at_work, until

SIZE = (120, 40)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def opened(pilot: Pilot[Any], sweep: Sweep) -> SweepScreen:
    """The sweep, with charts of the size there is."""
    await settled(pilot)
    screen = SweepScreen(sweep)
    await pilot.app.push_screen(screen)
    await drawn(pilot, screen)
    return screen


async def drawn(pilot: Pilot[Any], screen: SweepScreen) -> None:
    await until(pilot, lambda: screen.frame.look == screen._looking.value and screen.frame.rows)
    await until(pilot, lambda: screen.frame.curves or screen.frame.trade)
    await settled(pilot)


async def test_a_run_has_one_letter_in_the_table_and_in_both_charts() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, finished())
        text = shown(pilot)
        assert "a ✓ r8   finished     8   155.6k★" in text and "1.254★" in text
        assert "held-out loss" in text and "a r8  1.402" in text
        assert "── full, 3.67M: 1.254" in text and "trained parameters" in text
        assert "5 of 5 ended  Of the adapters, r64 has the lowest held-out loss: 1.297." in text


async def test_narrow_screens_show_one_chart_at_a_time() -> None:
    async with LoraTuiApp().run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot, finished())
        assert "a r8  1.402" in shown(pilot) and "full, 3.67M" not in shown(pilot)
        await press(pilot, "tab")
        await drawn(pilot, screen)
        await until(pilot, lambda: "full, 3.67M: 1.254" in shown(pilot))
        assert "a r8  1.402" not in shown(pilot)
        await press(pilot, "tab", "h")
        await until(pilot, lambda: "train loss, smoothed" in shown(pilot))
        await press(pilot, "z")
        await until(pilot, lambda: "train loss, smoothed, log scale" in shown(pilot))


async def test_it_fills_in_as_the_runs_go_on() -> None:
    sweep = finished(ended=("r8",))
    run = sweep.runs[1]
    told(run, {30: 2.0}, label="r16", start=200, final="")
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, sweep)
            assert "b ● r16  30/120" in shown(pilot) and "leaving lets it go on" in shown(pilot)
            assert "c ■ r32  stopped" in shown(pilot)  # it never began
            events.append(run.events, "step", step=60, loss=1.0, seconds=18.0)
            events.append(run.events, "eval", step=60, loss=1.111)
            await until(pilot, lambda: "60/120" in shown(pilot) and "1.111" in shown(pilot))
            assert "1.111★" not in shown(pilot)  # the best is one that ended
            runs.delete(sweep.runs[2])
            await until(pilot, lambda: "c   r32  gone" in shown(pilot))
            await press(pilot, "down", "down", "enter")
            assert "That run is gone." in toasts(pilot)


async def test_keys_are_those_of_the_runs_on_home() -> None:
    sweep = finished()
    for run in sweep.runs[:2]:
        write_adapter(run.adapter)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, sweep)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, TrainingScreen)
        await press(pilot, "q", "x")
        assert isinstance(pilot.app.screen, Confirm)
        await press(pilot, "y")
        assert not sweep.runs[0].path.exists()
        await until(pilot, lambda: "gone" in shown(pilot))
        await press(pilot, "down", "space", "space")
        assert len(screen.query_one(SweepList).marked) == 2
        await press(pilot, "escape")
        assert not screen.query_one(SweepList).marked and pilot.app.screen is screen
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)


@pytest.fixture
def signalled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Run]]:
    """Runs whose engines were asked to stop: there are none."""
    found: list[Run] = []
    monkeypatch.setattr(control, "stop", found.append)
    yield found


async def test_all_are_stopped_after_asking(signalled: list[Run]) -> None:
    sweep = finished(ended=("r8", "r16"))
    with at_work(sweep.runs[2]):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, sweep)
            await press(pilot, "s", "n")
            assert signalled == []
            await press(pilot, "s", "y")
            assert signalled == [sweep.runs[2]]


async def test_table_and_charts_are_written_as_text() -> None:
    sweep = finished()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, sweep)
        await press(pilot, "w")
        path = sweep.path / "sweep.md"
        await until(pilot, path.is_file)
        assert str(path) in toasts(pilot)
        await press(pilot, "D", "y")
        assert isinstance(pilot.app.screen, HomeScreen) and sweeps.list_sweeps() == []
        assert sweep.runs[0].path.is_dir()


def test_the_page_has_all_there_is() -> None:
    text = sweep_page.page(finished())
    assert text.startswith("# ranks\n\n- lora.r = 8, 16, 32, 64\n\n```text\nrun   state")
    for said in ("1.254*", "── full, 3.67M: 1.254", "e full  1.254", "r32 is within 0.01 of it"):
        assert said in text, said
    assert text.count("```") == 6 and max(map(len, text.splitlines())) <= 110


def test_what_is_left_is_told_by_what_works_and_what_ended() -> None:
    rows = list(sweep_rows.read(finished(ended=("r8",))))
    assert sweep_words.seconds_left(rows) is None
    took = rows[0].elapsed
    assert took == 128
    rows[1] = replace(rows[1], state="running", left=50.0)
    rows[2] = replace(rows[2], state="queued")
    assert sweep_words.seconds_left(rows) == 50 + 128
    rows[2] = replace(rows[2], held=True)
    assert sweep_words.seconds_left(rows) == 50
    assert sweep_words.status(rows[2]) == "held"


def test_columns_give_way_where_they_have_no_room() -> None:
    found = sweep_words.columns(sweep_rows.read(finished()))
    assert [line.name for line, _ in found.fitting(200)] == [
        *("rank", "trained", "saved", "s/step", "memory", "held-out", "manner"),
    ]
    assert [line.name for line, _ in found.fitting(30)] == ["trained", "held-out", "manner"]
    assert [line.name for line, _ in found.fitting(0)] == ["held-out", "manner"]
