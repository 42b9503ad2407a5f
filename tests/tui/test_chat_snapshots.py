"""How the chat looks, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core.members import BASE, Member
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.chat import ChatScreen

from .chats import READY, STARTED, THREE, answered, asked, event, loaded, opened, table
from .conftest import settled

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])

TAR = (
    "The colour of tar is black.\n\nIt is made of coal, wood or peat, by heating them without air; "
    "the thick liquid that remains has sealed ships, roofs and roads. [bold]x[/] 漢字 is wide."
)
CUT = {"tokens": 256, "seconds": 3.1, "ended": "max_new_tokens"}
TALK = [
    *loaded(THREE, ["r32-other"]),
    asked(1, "What colour is tar?", "r16-alpaca"),
    answered(1, "r16-alpaca", TAR, tokens=48, seconds=1.1),
    asked(2, "Which animal group does\nthe bat belong to?", BASE, "r16-alpaca", "r8-pirate"),
    answered(2, BASE, "The bat is a mammal.", mixed=True),
    answered(2, "r16-alpaca", "The bat is a mammal.", mixed=True),
    answered(2, "r8-pirate", "Arr, it be one. " * 12, mixed=True, **CUT),
    READY,
]
TWO = table("r16-alpaca")


@pytest.fixture(autouse=True)
def by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """No engine is started: what it would tell is put in by hand."""
    monkeypatch.setattr(ChatScreen, "follow_engine", lambda *_: None)


def chat(members: Sequence[Member], events: Sequence[Any], *keys: str) -> Prepare:
    """The chat once an engine has told of `events`, after `keys`."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await opened(pilot, members, *events)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        await pilot.pause()

    return prepare


@both_sizes
def test_loading(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=chat(THREE, [STARTED]))


@both_sizes
def test_a_conversation(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=chat(THREE, TALK, *"now"))


@both_sizes
def test_side_by_side_and_plain_keys(snap_compare: Compare, size: tuple[int, int]) -> None:
    said = [answered(1, BASE, TAR, mixed=True), answered(1, "r16-alpaca", "Black.", mixed=True)]
    events = [*loaded(TWO), asked(1, "What colour is tar?", BASE, "r16-alpaca"), *said, READY]
    shown = chat(TWO, events, "escape")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@both_sizes
def test_a_dead_engine(snap_compare: Compare, size: tuple[int, int]) -> None:
    died = event("failed", summary="The memory was not enough.", hint="Ask for fewer tokens.")
    events = [*loaded(THREE), asked(1, "And?", BASE), died]
    shown = chat(THREE, events, "escape")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


def test_settings(snap_compare: Compare) -> None:
    wrong = ("escape", "s", "end", "x", "tab", "end", "5", "tab", "tab", "end", "x")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=chat(THREE, TALK, *wrong))


def test_narrow(snap_compare: Compare) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=(60, 20), run_before=chat(THREE, TALK))


def test_tiny(snap_compare: Compare) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=(40, 12), run_before=chat(THREE, TALK))


def test_in_ascii(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=chat(THREE, TALK))
