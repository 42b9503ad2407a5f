"""How a comparison looks, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import runs
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.tui import compare_words, look
from lora_tui.tui.app import LoraTuiApp

from .comparisons import elsewhere, of, opened, ready, recorded, trained, usual
from .conftest import NOON, settled
from .data_reports import at_work

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture(autouse=True)
def still(shipped: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same path and no seconds on every machine."""
    doing = compare_words.doing
    path = "/home/me/.local/share/lora-tui/comparisons/20261123-1214-r4-pirate-and-2-more"
    monkeypatch.setattr(compare_words, "doing", lambda comparison, _: doing(comparison, 0))
    monkeypatch.setattr(compare_words, "end_of", lambda _, room: path[-room:])


def keys(run: Run, who: Sequence[Member], *pressed: str) -> Prepare:
    """Show a comparison, and press keys one after another."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await opened(pilot, run, who)
        for key in pressed:
            await pilot.press(key)
            await settled(pilot)
            if not pilot.app.screen.is_modal:
                await ready(pilot)
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False  # type: ignore[attr-defined]  # an Input
        await pilot.pause()

    return prepare


@both_sizes
@pytest.mark.parametrize("pane", ["table", "curves", "outputs", "moved"])
def test_panes(snap_compare: Compare, pane: str, size: tuple[int, int]) -> None:
    who = of(usual())
    shown = keys(recorded(who), who, str(compare_words.PANES.index(pane) + 1))
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@both_sizes
def test_what_is_odd(snap_compare: Compare, size: tuple[int, int]) -> None:
    who = [*of(usual()[:2]), elsewhere("/some/where/odd")]
    why = "It is for another base: 4 of its 56 weights do not fit.", "Name an adapter of demo."
    run = recorded(
        who,
        refused={"/some/where/odd": why},
        noted={who[1].id: "28 of its 56 keys are missing: half of the adapter is not there."},
        equal=[who[0].id],
        warnings=["No row is held out, so no loss is measured."],
    )
    shown = keys(run, who, *["pagedown"] * 3)
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@pytest.mark.parametrize("pane", "12")
def test_twelve_members(snap_compare: Compare, pane: str) -> None:
    found = [
        trained(f"rank-{at}", number=at, last=1.5 / at, steps=30 + at, lora__r=at)
        for at in range(1, 13)
    ]
    who = of(found)
    shown = keys(recorded(who), who, pane, *["right"] * 6)
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)


def test_at_work(snap_compare: Compare) -> None:
    who = of(usual())
    run = recorded(who, final="", until_=10)
    with at_work(run):
        assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(run, who))


def test_failed(snap_compare: Compare) -> None:
    who = of(usual())
    said: dict[str, Any] = {
        "summary": "Out of memory while loading the base.",
        "hint": "Free some memory.",
    }
    run = recorded(who, final="failed", until_=2, **said)
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(run, who))


@pytest.mark.parametrize("pane", "1234")
def test_in_ascii(snap_compare: Compare, pane: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    who = of(usual())
    shown = keys(recorded(who), who, pane)
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)


@pytest.mark.parametrize("size", [(60, 20), (40, 12)], ids=["60x20", "40x12"])
def test_narrow(snap_compare: Compare, size: tuple[int, int]) -> None:
    who = of(usual())
    shown = keys(recorded(who), who, "3")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


def test_prompts(snap_compare: Compare) -> None:
    who = of(usual())
    shown = keys(recorded(who), who, "p", "enter")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)


def test_prompts_typed(snap_compare: Compare) -> None:
    who = of(usual())
    shown = keys(recorded(who), who, "p", "j", "enter")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)


def test_earlier(snap_compare: Compare) -> None:
    found = usual()
    runs.add_to_info(recorded(of(found)), created=NOON)
    runs.add_to_info(recorded(of(found[:1]), final="", until_=4), created=NOON + 60)

    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        for key in ("tab", "space", "space", "o"):
            await pilot.press(key)
            await settled(pilot)

    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=prepare)
