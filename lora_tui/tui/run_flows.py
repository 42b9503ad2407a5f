"""What is done with runs from several screens, step by step. Call these from a worker."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from textual.app import App

from lora_tui.core import makings, runs
from lora_tui.core.named import missing_here
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import Headline
from lora_tui.core.text import one_line, size
from lora_tui.jobs import control, launch, queue
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.go_on import GoOn

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp


async def train(app: App[Any], preset: Preset) -> Run | None:
    """Ask for a name and start a run of `preset`; None when the user thought better of it.

    Raises:
        LoraTuiError: the run could not be made or started.
    """
    await asyncio.to_thread(launch.located, preset)  # a wrong path is said before anything is asked
    missing = await asyncio.to_thread(missing_here, preset)
    suggestion = await asyncio.to_thread(runs.free_name, preset.name or "run")
    text = ""
    if missing:
        are = "are" if len(missing) > 1 else "is"
        text = f"This needs the Hub: {' and '.join(missing)} {are} not on this machine.\n"
    if preset.model.trust_remote_code:
        text += (
            "Python code that comes with the model will run here: model.trust_remote_code is on."
        )
    question = Question("Name of the run", suggestion, _problem)
    answers = await app.push_screen_wait(Ask(f"Train {preset.name}", question, text=text.strip()))
    if answers is None:
        return None
    run = await asyncio.to_thread(launch.start, preset, name=answers[0], command="lora-tui")
    _warn_of_logout(app)
    return run


def _warn_of_logout(app: App[Any]) -> None:
    cast("LoraTuiApp", app).teller.warn_of_logout()


def _problem(name: str) -> str | None:
    return None if name else "A run needs a name."


async def stop(app: App[Any], line: Headline) -> bool:
    """Stop a live run after asking; one that is stopping already can be killed."""
    if line.state == "queued":  # nothing is lost by it
        await asyncio.to_thread(control.stop, line.run)
        return True
    name, again = one_line(line.name), line.state == "stopping"
    if again:
        text = "It is saving. Killed now, it keeps only the checkpoints it has."
        question = Confirm(f"Kill {name}?", text, yes="kill it", no="let it save")
    else:
        text = "It ends its step, saves a checkpoint and the adapter; it can be resumed."
        question = Confirm(f"Stop {name}?", text, yes="stop it", no="go on")
    if not await app.push_screen_wait(question):
        return False
    await asyncio.to_thread(control.kill if again else control.stop, line.run)
    return True


async def pause(_app: App[Any], line: Headline) -> bool:
    """Pause a run, or let it go on; nothing is lost by either, so it does not ask."""
    await asyncio.to_thread(control.toggle_pause, line.run)
    return True


async def earlier(_app: App[Any], line: Headline) -> bool:
    """Let a run that waits start one place earlier."""
    await asyncio.to_thread(queue.shift, line.run, -1)
    return True


async def later(_app: App[Any], line: Headline) -> bool:
    """Let a run that waits start one place later."""
    await asyncio.to_thread(queue.shift, line.run, 1)
    return True


async def resume(app: App[Any], line: Headline) -> bool:
    """Let a paused run go on; one that ended restarts, or goes on as a branch, after asking."""
    if line.state == "paused":
        await asyncio.to_thread(launch.resume, line.run)
        return True
    steps = await asyncio.to_thread(runs.checkpoint_steps, line.run)
    how: str | bool | None = "branch"
    title = f"Resume {one_line(line.name)}?"
    if line.state != "finished" and steps:
        text = (
            f"It restarts from its checkpoint at step {steps[-1]}.\n"
            "Or a new run goes on from a checkpoint, with more steps or another learning rate."
        )
        how = await app.push_screen_wait(GoOn(title, text))
    elif line.state != "finished":
        text = "It has no complete checkpoint, so it starts at step 0."
        question = Confirm(title, text, yes="resume", no="leave it", enter=True)
        how = await app.push_screen_wait(question)
    if how is None:
        return False
    if how == "branch":
        from lora_tui.tui import branch_flows

        if await branch_flows.make(app, line) is None:
            return False
    else:
        await asyncio.to_thread(launch.resume, line.run)
    _warn_of_logout(app)
    return True


async def delete(app: App[Any], line: Headline) -> bool:
    """Delete a run after asking."""
    await asyncio.to_thread(makings.refuse_at_work, line.run)
    made = await asyncio.to_thread(makings.made_of, line.run)
    also = f" So is what was merged and exported from it: {size(made)}." if made else ""
    text = f"{line.run.path}\n\nIts adapter, checkpoints and events are removed for good.{also}"
    question = Confirm(f"Delete {one_line(line.name)}?", text, yes="delete", no="keep it")
    if not await app.push_screen_wait(question):
        return False
    await asyncio.to_thread(runs.delete, line.run)
    return True
