"""Opening a comparison, and what is asked around it, step by step. Call these from a worker."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from textual.app import App
from textual.screen import Screen

from lora_tui.core import (
    comparison_advice,
    comparison_files,
    comparisons,
    runs,
)
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.preset_files import load
from lora_tui.core.runs import Run
from lora_tui.jobs import control
from lora_tui.tui import member_flows
from lora_tui.tui.member_flows import beside_others, one_more, results_of
from lora_tui.tui.screens.confirm import Confirm

if TYPE_CHECKING:
    from lora_tui.jobs.compare import Asked
    from lora_tui.tui.compare_watching import Frame

_GRACE = 20.0  # seconds that an engine has to end by itself

# --- from Home --------------------------------------------------------------------------------


async def compare_runs(app: App[Any], picked: Sequence[Run]) -> None:
    """Open the comparison of what runs left; those that left nothing yet are named, and left out.

    Raises:
        LoraTuiError: none of them left anything.
    """
    found = await results_of(app, picked)
    if not await beside_others(app):
        return
    from lora_tui.jobs.compare import Asked
    from lora_tui.tui.screens.compare import CompareScreen

    await app.push_screen(CompareScreen(found, Asked()))


async def ask_runs(app: App[Any], picked: Sequence[Run]) -> None:
    """Open a chat with what runs left.

    Raises:
        LoraTuiError: none of them left anything.
    """
    await ask(app, await results_of(app, picked))


async def ask(app: App[Any], who: Sequence[Member]) -> None:
    """Open a chat with members."""
    from lora_tui.tui import chat_flows

    await chat_flows.open_chat(app, who)


async def open_comparison(app: App[Any], run: Run) -> None:
    """Show a comparison there is, at work or ended."""
    from lora_tui.tui.screens.compare import CompareScreen

    who = await asyncio.to_thread(comparisons.members_of, run)
    await app.push_screen(CompareScreen(who, run))


# --- on the screen ----------------------------------------------------------------------------


async def add(screen: Screen[Any], frame: "Frame", who: Sequence[Member]) -> None:
    """Ask for one more member, and compare with it too."""
    more = await one_more(screen.app, who, "comparison")
    if more is None:
        return
    asked = await _as_before(frame)
    if await _may_begin(screen.app, frame):
        _replace(screen, [*who, more], asked)


async def other_prompts(screen: Screen[Any], frame: "Frame", who: Sequence[Member]) -> None:
    """Ask for other prompts or settings, and compare anew with them."""
    from lora_tui.tui import compare_asking

    asked = await compare_asking.other(screen.app, await _as_before(frame))
    if asked is not None and await _may_begin(screen.app, frame):
        _replace(screen, who, asked)


async def again(screen: Screen[Any], frame: "Frame", who: Sequence[Member]) -> None:
    """Measure the same anew, into a comparison of its own."""
    if await _may_begin(screen.app, frame):
        _replace(screen, who, await _as_before(frame))


async def _may_begin(app: App[Any], frame: "Frame") -> bool:
    """Whether another comparison may begin here, beside others or in place of this one."""
    return await beside_others(app, besides=frame.run) and await _may_replace(app, frame)


async def _as_before(frame: "Frame") -> "Asked":
    """What this comparison was asked for, its rows among it."""
    return await asyncio.to_thread(_read_asked, frame)


def _read_asked(frame: "Frame") -> "Asked":
    from lora_tui.tui.compare_asking import asked_before

    options: Mapping[str, Any] = {}
    if frame.run is not None:
        options = runs.read_info(frame.run).get("options") or {}
    asked = asked_before(options.get("settings") or frame.comparison.settings)
    if frame.run is not None and options.get("has_rows"):
        asked = replace(asked, preset=load(frame.run.preset))
    return asked


async def _may_replace(app: App[Any], frame: "Frame") -> bool:
    """Whether to begin another: one that is still measured would slow it, and is stopped."""
    if frame.state not in {"running", "stopping"} or frame.run is None:
        return True
    text = "This one is still measured. It is stopped, and keeps what it has."
    question = Confirm("Begin another?", text, yes="stop it and begin", no="go on with this")
    if not await app.push_screen_wait(question):
        return False
    return await _end(app, frame.run)


async def _end(app: App[Any], run: Run) -> bool:
    """Stop a comparison and wait until its memory is free; one that hangs is killed after asking.

    Raises:
        LoraTuiError: it cannot be stopped, or lives on when it was killed.
    """
    try:
        await asyncio.to_thread(control.stop, run)
    except LoraTuiError:
        if await asyncio.to_thread(runs.is_alive, run):
            raise
        return True  # it ended by itself
    app.notify("It stops; the next begins when its memory is free.", markup=False)
    if await asyncio.to_thread(control.wait_until_dead, run, _GRACE):
        return True
    text = "It does not stop: it may be in the middle of something long. What it told is kept."
    question = Confirm("Kill it?", text, yes="kill it and begin", no="leave it")
    if not await app.push_screen_wait(question):
        return False
    with suppress(LoraTuiError):  # it may have ended by now
        await asyncio.to_thread(control.kill, run)
    if not await asyncio.to_thread(control.wait_until_dead, run, _GRACE):
        raise LoraTuiError(f"{run.id} lives on and holds its memory.", "End its process by hand.")
    return True


def _replace(screen: Screen[Any], who: Sequence[Member], asked: "Asked") -> None:
    """Show a new comparison in place of this one; its worker, which calls this, ends with it."""
    from lora_tui.tui.screens.compare import CompareScreen

    def switch() -> None:
        if screen not in screen.app.screen_stack:
            return  # it was left meanwhile
        while screen.app.screen is not screen:  # something was opened above it meanwhile
            screen.app.pop_screen()
        screen.app.switch_screen(CompareScreen(who, asked))

    screen.app.call_next(switch)


async def advise(app: App[Any], comparison: Comparison, column: Column) -> None:
    """Show what would help the run of a member, by what the comparison knows of it.

    Raises:
        LoraTuiError: its run is gone, or its preset cannot be read.
    """
    from lora_tui.tui import advice_flows

    preset, found = await asyncio.to_thread(comparison_advice.advices, comparison, column)
    await advice_flows.on_run(app, preset, found)


async def stop(app: App[Any], run: Run) -> None:
    """End the measuring after asking."""
    text = "What was measured so far is kept; r measures anew."
    await member_flows.stop(app, run, "running", title="Stop measuring?", text=text)


async def delete(app: App[Any], run: Run) -> bool:
    """Delete a comparison after asking."""
    text = f"{run.path}\n\nIts figures and answers are removed for good; the runs stay."
    question = Confirm("Delete this comparison?", text, yes="delete", no="keep it")
    if not await app.push_screen_wait(question):
        return False
    if await asyncio.to_thread(runs.is_alive, run):
        await asyncio.to_thread(control.kill, run)
        await asyncio.to_thread(control.wait_until_dead, run, 10)
    await asyncio.to_thread(runs.delete, run)
    return True


def say_where(app: App[Any], run: Run) -> None:
    """Say where a comparison is kept, and copy its path where the terminal lets one."""
    app.copy_to_clipboard(str(run.path))
    files = [run.path / name for name in (comparison_files.MARKDOWN, comparison_files.JSON)]
    names = " and ".join(path.name for path in files if path.is_file())
    said = f"{run.path}" + (f"\n{names}" if names else "\nIts files are written at the end.")
    app.notify(said, title="Kept in (path copied)", timeout=10, markup=False)
