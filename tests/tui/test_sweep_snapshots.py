"""How a sweep looks, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core.preset_files import find
from lora_tui.jobs import machine
from lora_tui.jobs import sweep as sweeping
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.sweep_form import SweepForm

from ..sweeps import finished, told
from .conftest import PLACE, settled
from .data_reports import at_work
from .test_sweep_form import planned
from .test_sweep_screen import drawn, opened

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture(autouse=True)
def one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same room on every machine."""
    monkeypatch.setattr(machine, "place_of", lambda *_: PLACE)
    monkeypatch.setattr(sweeping, "_free_disk", lambda: 812_000_000_000)


@both_sizes
def test_form(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        screen = SweepForm(find("demo"))
        await pilot.app.push_screen(screen)
        await planned(pilot, screen)
        await pilot.press("down", "space")
        await planned(pilot, screen)

    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=prepare)


@pytest.mark.parametrize(
    ("size", "is_ascii", "keys"),
    [((80, 24), False, "tab"), ((120, 40), False, ""), ((80, 24), True, "")],
    ids=["80x24", "120x40", "ascii"],
)
def test_at_work(
    snap_compare: Compare,
    size: tuple[int, int],
    is_ascii: bool,
    keys: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "01"[is_ascii])
    look.ascii_only.cache_clear()
    sweep = finished(ended=("r8", "r16", "r32", "full"))
    told(sweep.runs[3], {30: 1.9, 60: 1.5}, label="r64", start=600, final="")

    async def prepare(pilot: Pilot[Any]) -> None:
        screen = await opened(pilot, sweep)
        if keys:
            await pilot.press(keys)
            await settled(pilot)
            await drawn(pilot, screen)

    with at_work(sweep.runs[3]):
        assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=prepare)
