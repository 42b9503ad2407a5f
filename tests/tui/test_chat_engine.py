"""The chat screen with the real engine on the demo model, in a test and in a real terminal."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import locations, locks, members, runs
from lora_tui.core.chat import Chat, Turn
from lora_tui.core.members import BASE, Member
from lora_tui.core.runs import Run
from lora_tui.tui import chat_flows
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.chat import ChatScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.widgets.prompt_area import PromptArea
from lora_tui.tui.widgets.transcript import Transcript
from tests.adapters import write_adapter
from tools.terminal import Terminal, wait_until

from .conftest import settled, shown
from .data_reports import until

QUESTION = "What colour is tar?"


@pytest.fixture
def adapters(tmp_path: Path) -> Iterator[list[Member]]:
    """Two adapters made elsewhere, and one whose weights are no such file."""
    good = [write_adapter(tmp_path / name, r=r) for name, r in (("one", 4), ("two", 8))]
    broken = write_adapter(tmp_path / "broken")
    (broken / "adapter_model.safetensors").write_bytes(b"nonsense")
    yield [replace(members.of_reference(str(at)), name=at.name) for at in (*good, broken)]
    for run in runs.list_runs(locations.reports_folder()):
        wait_until(lambda run=run: not runs.is_alive(run), 180, "an engine stayed")  # type: ignore[misc]  # bound at once


def engine(run: Run | None) -> int:
    """The process id of a chat's engine."""
    assert run is not None
    pid = locks.holder(run.lock)[1]
    assert pid is not None
    return pid


async def said(pilot: Pilot[Any], screen: ChatScreen, number: int) -> Turn:
    """Wait until a turn is over."""

    def turn() -> Turn | None:
        return screen.session.chat.turn(number)

    await until(pilot, lambda: (found := turn()) is not None and found.is_over, 120)
    found = turn()
    assert found is not None
    return found


@asynccontextmanager
async def in_the_middle(
    pilot: Pilot[Any], screen: ChatScreen, number: int, one: str
) -> AsyncIterator[int]:
    """Inside, the engine is held where that turn's answer has begun, however slow all is."""
    at_work = engine(screen.frame.run)

    def has_begun() -> bool:
        turns = screen.session.turns
        return bool(turns and turns[-1].number == number and turns[-1].answer(one).text)

    try:
        for _ in range(600):
            os.kill(at_work, signal.SIGCONT)
            await pilot.pause(0.05)
            os.kill(at_work, signal.SIGSTOP)
            await pilot.pause(0.2)  # for the app to see what was said
            if has_begun():
                break
        assert has_begun(), shown(pilot)
        yield at_work
    finally:
        with suppress(ProcessLookupError):
            os.kill(at_work, signal.SIGCONT)


async def test_a_conversation_over_the_death_of_its_engine(adapters: list[Member]) -> None:
    one, two, _ = (member.id for member in adapters)
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        pilot.app.run_worker(chat_flows.open_chat(pilot.app, adapters), group="dialogue")
        await until(pilot, lambda: pilot.app.screen.query(PromptArea))  # pushed, and composed
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        area = screen.query_one(PromptArea)
        area.put(QUESTION)
        await pilot.press("enter")  # while it loads
        first = await said(pilot, screen, 1)
        chat: Chat = screen.session.chat
        assert (first.to, chat.current) == ((one,), one)
        assert chat.usable == (BASE, one, two) and "✗ refused" in shown(pilot)
        assert chat.seats[1].swap_milliseconds is not None

        area.put(QUESTION)
        await pilot.press("ctrl+t")
        second = await said(pilot, screen, 2)
        assert all(second.answer(id_).mixed for id_ in (BASE, one, two))
        await pilot.pause()
        assert "asked 3 at once · one mixed batch, exact" in shown(pilot)
        assert second.answer(BASE).text in screen.query_one(Transcript).plain()

        screen.session.settings = replace(
            screen.session.settings, temperature=10.0, max_new_tokens=4000
        )
        for number, ended in ((3, "cancelled"), (4, "unanswered")):
            area.put("Go on.")
            await pilot.press("enter")
            async with in_the_middle(pilot, screen, number, one) as at_work:
                await until(pilot, lambda: "● answering" in shown(pilot))
                if ended == "cancelled":
                    await pilot.press("escape", "x", "i")
                else:
                    os.kill(at_work, signal.SIGKILL)
            turn = await said(pilot, screen, number)
            assert turn.answer(one).ended == ended and turn.answer(one).text
        await until(pilot, lambda: "✗ failed" in shown(pilot))
        assert "died without a word" in shown(pilot)

        dead = screen.frame.run
        await pilot.press("escape", "r")
        await until(pilot, lambda: screen.session.chat.current == one, 120)
        assert [turn.number for turn in screen.session.turns] == [1, 2, 3, 4]
        assert screen.frame.run != dead
        await pilot.press("g")
        await until(pilot, lambda: isinstance(pilot.app.screen, LogScreen))
        await pilot.press("q")
        await pilot.pause()
        alive = engine(screen.frame.run)
        await pilot.press("q")
        await settled(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await until(pilot, lambda: not Path(f"/proc/{alive}").exists())


OPEN = """
import sys
from lora_tui.core import members
from lora_tui.tui import chat_flows
from lora_tui.tui.app import LoraTuiApp

def on_ready(app):
    who = [members.of_reference(path) for path in sys.argv[1:]]
    app.run_worker(chat_flows.open_chat(app, who), group="dialogue", exit_on_error=False)

LoraTuiApp.on_ready = on_ready
LoraTuiApp().run()
"""


def test_in_a_real_terminal_keys_may_come_in_bursts(adapters: list[Member]) -> None:
    command = [sys.executable, "-c", OPEN, *(member.path for member in adapters[:2])]
    with Terminal(command) as terminal:
        terminal.wait_for("Conversation")
        terminal.press("What colour\x1b[200~ is\rtar\x1b[201~?\x1b[D\x1b[D\r")
        terminal.wait_for(lambda text: "› What colour is" in text and "  tar?" in text)
        terminal.wait_for(lambda text: "✓ ready" in text and "tokens/s" in text)
        terminal.press("12\x1b2")  # esc and a number in one piece, as a slow line brings them
        terminal.wait_for(lambda text: all(one in text for one in ("swapped in", "▸2", "› 12")))
        terminal.press("i\x15Again\x14")
        terminal.wait_for("asked 3 at once · one mixed batch, exact")
        terminal.wait_for("✓ ready")
        terminal.pump(1.5)
        before = terminal.written
        terminal.pump(2.0)
        assert terminal.written == before  # nothing moves when nothing happens
        assert b"\x1b[31m" not in terminal.raw
        (run,) = runs.list_runs(locations.reports_folder())
        assert runs.is_alive(run)
        terminal.hang_up()
    wait_until(lambda: not runs.is_alive(run), 180, "the engine outlived its app")
