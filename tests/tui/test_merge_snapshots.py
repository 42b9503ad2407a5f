"""How a merge looks, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core.members import Member
from lora_tui.tui import look, merge_outlook, merge_words
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.job_watching import JobWatch
from lora_tui.tui.merge_page import Left

from .conftest import settled
from .data_reports import at_work
from .merges import opened, recorded, two

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

HERE = Path("/home/me/.local/share/lora-tui/merges")


@pytest.fixture(autouse=True)
def still(shipped: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same paths, sizes and seconds on every machine."""
    monkeypatch.setattr(merge_words, "end_of", lambda _, room: f"in {HERE}"[-room:])
    monkeypatch.setattr(merge_outlook, "_free", lambda _: 812_000_000_000)
    monkeypatch.setattr(JobWatch, "_lived", lambda _: 0)
    found = Left(str(HERE), str(HERE / "adapter"))
    monkeypatch.setattr(Left, "of", lambda now: found if now.ended == "finished" else Left())


def keys(who: Sequence[Member], *pressed: str) -> Prepare:
    """Show the merge of members, and press keys one after another."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await opened(pilot, who)
        for key in pressed:
            await pilot.press(key)
            await settled(pilot)
        await pilot.pause()

    return prepare


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_form(snap_compare: Compare, size: tuple[int, int]) -> None:
    shown = keys(two(4, 8), "right")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@pytest.mark.parametrize("is_ascii", [False, True], ids=["", "ascii"])
def test_result(snap_compare: Compare, is_ascii: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "01"[is_ascii])
    look.ascii_only.cache_clear()
    who = two(4, 8)
    recorded(who, out=HERE, is_there=False, plan={"method": "cat"})
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(who))


def test_at_work(snap_compare: Compare) -> None:
    who = two(4, 8)
    with at_work(recorded(who, final="", until_=7, plan={"method": "cat"})):
        assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(who))


def test_methods(snap_compare: Compare) -> None:
    shown = keys(two(4, 8), "m")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)
