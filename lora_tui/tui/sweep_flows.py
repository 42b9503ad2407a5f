"""What is asked around a sweep, step by step. Call these from a worker."""

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from textual.app import App
from textual.screen import Screen

from lora_tui.core import grids, sweeps
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import write_atomically
from lora_tui.core.presets import Preset
from lora_tui.core.sweeps import Asked, Sweep
from lora_tui.core.text import one_line
from lora_tui.jobs import sweep as sweeping
from lora_tui.tui import sweep_draft, sweep_page
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.sweep_draft import NAME, SWITCHES, Draft

PAGE = "sweep.md"

_VALUES = "Values between commas; a list is one value, in brackets."


async def open_form(app: App[Any], preset: Preset) -> None:
    """Open the form of a sweep over a preset."""
    from lora_tui.tui.screens.sweep_form import SweepForm

    await app.push_screen(SweepForm(preset))


async def open_sweep(app: App[Any], sweep: Sweep) -> None:
    """Show a sweep there is, at work or ended."""
    from lora_tui.tui.screens.sweep import SweepScreen

    await app.push_screen(SweepScreen(sweep))


# --- in the form -------------------------------------------------------------------------------


async def edit(app: App[Any], draft: Draft, key: str) -> Draft | None:
    """Ask for another value of a line; None when it was left."""
    if key in SWITCHES:
        return draft.turned(key)
    if key == NAME:
        question = Question("Name of the sweep", draft.name, _wrong_with_name)
        answers = await app.push_screen_wait(Ask("Name", question))
        return None if answers is None else replace(draft, name=answers[0])
    return await _values(app, draft, key, grids.typed(draft.grid[key]))


def _wrong_with_name(name: str) -> str | None:
    return None if name else "A sweep needs a name."


async def add(app: App[Any], draft: Draft) -> Draft | None:
    """Ask for one more key, then for its values; None when it was left."""
    question = Question("Setting", "", partial(sweep_draft.wrong_with_key, draft))
    text = "Any of a preset's settings, as in training.learning_rate."
    answers = await app.push_screen_wait(Ask("Sweep over one more", question, text=text))
    if answers is None:
        return None
    key = answers[0]
    return await _values(app, draft, key, grids.typed([draft.own_value(key)]))


async def _values(app: App[Any], draft: Draft, key: str, present: str) -> Draft | None:
    question = Question("Values", present, partial(sweep_draft.wrong_with, key))
    answers = await app.push_screen_wait(Ask(key, question, text=_VALUES))
    return None if answers is None else draft.with_values(key, answers[0])


async def start(screen: Screen[Any], asked: Asked) -> None:
    """Start a sweep, and show it in place of its form.

    Raises:
        LoraTuiError: something is in its way.
    """
    from lora_tui.tui.screens.sweep import SweepScreen

    sweep = await asyncio.to_thread(sweeping.start, asked, command="lora-tui")
    if screen in screen.app.screen_stack:
        screen.app.call_next(screen.app.switch_screen, SweepScreen(sweep))


# --- at work, and after ------------------------------------------------------------------------


async def stop_all(app: App[Any], sweep: Sweep) -> None:
    """Stop all runs of a sweep after asking."""
    text = "What works ends its step and saves; what waits leaves the queue. All can be resumed."
    question = Confirm(f"Stop {one_line(sweep.name)}?", text, yes="stop all", no="go on")
    if await app.push_screen_wait(question):
        await asyncio.to_thread(sweeping.stop, sweep)


async def write(app: App[Any], sweep: Sweep) -> None:
    """Write table and charts beside the sweep's file, and copy the path.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    path = sweep.path / PAGE
    try:
        await asyncio.to_thread(lambda: write_atomically(path, sweep_page.page(sweep)))
    except OSError as error:
        raise LoraTuiError(f"{path} was not written: {error}.", "Is there room?") from error
    app.copy_to_clipboard(str(path))
    app.notify(str(path), title="Table and charts in (path copied)", timeout=10, markup=False)


async def forget(app: App[Any], sweep: Sweep) -> bool:
    """Remove a sweep after asking; its runs stay."""
    text = f"{sweep.path}\n\nThat these runs belong together is forgotten; the runs stay."
    question = Confirm(f"Forget {one_line(sweep.name)}?", text, yes="forget it", no="keep it")
    if not await app.push_screen_wait(question):
        return False
    await asyncio.to_thread(sweeps.forget, sweep)
    return True
