"""A branch of a run, step by step: what changes, what will happen, and only then it begins."""

import asyncio
from typing import TYPE_CHECKING, Any, cast

from textual.app import App

from lora_tui.core import branching, runs
from lora_tui.core.branching import Plan
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset, all_knobs
from lora_tui.core.runs import Run
from lora_tui.core.settings import SettingsError, in_words, parse
from lora_tui.core.summary import Headline
from lora_tui.core.text import one_line
from lora_tui.jobs import branch
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.confirm import Confirm

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp

_STEPS, _RATE = "training.max_steps", "training.learning_rate"


async def make(app: App[Any], line: Headline) -> Run | None:
    """Ask what a branch of a run changes, say what follows, and start it.

    Raises:
        LoraTuiError: there is no checkpoint to begin at, or it could not be started.
    """
    steps = await asyncio.to_thread(runs.checkpoint_steps, line.run)
    if not steps:
        raise BadInput(
            f"{line.run.id} has no complete checkpoint to branch from.",
            "training.save_steps saves one every so many steps.",
        )
    before = await asyncio.to_thread(load, line.run.preset)
    most = line.max_steps or before.training.max_steps
    texts = [
        await asyncio.to_thread(runs.free_name, line.name),
        str(steps[-1]),
        str(most if steps[-1] < most else 2 * most),
        in_words(before.training.learning_rate),
    ]
    wrong = ""
    while True:
        questions = _questions(steps, texts)
        asked = await app.push_screen_wait(
            Ask(f"Branch {one_line(line.name)}", *questions, text=wrong)
        )
        if asked is None:
            return None
        texts = asked
        try:
            plan = await asyncio.to_thread(_plan, line.run, before, texts, most)
        except LoraTuiError as error:
            wrong = error.summary
            continue
        wrong = ""
        told = "\n".join(await asyncio.to_thread(plan.told))
        sure = Confirm(f"Start {one_line(texts[0])}?", told, yes="start", no="change", enter=True)
        if await app.push_screen_wait(sure):
            break
    run = await asyncio.to_thread(branch.start, plan, name=texts[0], command="lora-tui")
    cast("LoraTuiApp", app).open_run(run)
    return run


def _plan(run: Run, before: Preset, texts: list[str], most: int) -> Plan:
    """The branch that these texts describe; how far is changed only where it is another figure."""
    values = {_RATE: _value(_RATE, texts[3]), _STEPS: _value(_STEPS, texts[2])}
    if values[_STEPS] == most:  # so that a run by epochs stays one
        values[_STEPS] = before.training.max_steps
    return branching.plan(run, int(texts[1]), values)


def _questions(steps: list[int], texts: list[str]) -> list[Question]:
    kept = ", ".join(map(str, steps))

    def at_a_step(text: str) -> str | None:
        return None if text in map(str, steps) else f"Checkpoints are kept of {kept}."

    return [
        Question("Name", texts[0], lambda text: None if text else "A run needs a name."),
        Question(f"From step ({kept})", texts[1], at_a_step),
        Question("Steps in all", texts[2], lambda text: _problem(_STEPS, text)),
        Question("Learning rate at its peak", texts[3], lambda text: _problem(_RATE, text)),
    ]


def _problem(key: str, text: str) -> str | None:
    try:
        _value(key, text)
    except SettingsError as error:
        return error.problems[0].message
    return None


def _value(key: str, text: str) -> Any:
    return parse(next(item for item in all_knobs() if item.key == key), text)
