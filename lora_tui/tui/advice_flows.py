"""What is done with advice from several screens, step by step. Call these from a worker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from textual.app import App

from lora_tui.core.advice import Advice, Known, advice
from lora_tui.core.draft import Draft
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.measured import Measured, split
from lora_tui.core.parameters import count_trainable, read_base
from lora_tui.core.preset_files import changed, load
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui import advice_words, preset_flows

Take = Callable[[Advice], Awaitable[object]]


def on_draft(draft: Draft, found: Sequence[Measured]) -> tuple[Advice, ...]:
    """Advice on a preset as it is edited; none while something is wrong with it.

    `found` is what was measured before: a data report on the same rows says more. Reads headers, so
    call it from a thread.
    """
    try:
        preset = draft.preset
    except LoraTuiError:
        return ()
    try:
        base = read_base(preset.model.name_or_path, preset.model.revision)
        trainable = count_trainable(base, preset)
    except LoraTuiError:
        trainable = None  # not here yet: the rules that need its size are silent
    return tuple(advice(Known(preset, trainable, split(list(found), preset))))


def preset_of(run: Run) -> Preset | None:
    """The preset of a run, if its file is one."""
    try:
        return load(run.preset)
    except LoraTuiError:
        return None


async def show(app: App[Any], advices: Sequence[Advice], take: Take, *, does: str) -> None:
    """List advices with their words, sources and remedies; `take` gets the one that is chosen.

    For any screen: `advices` are what `core.advice.advice(Known(...))` gives, and may be none.
    Advice without changes can be read, not chosen. `does` says in two or three words what
    enter does. Of a run or a comparison, `to_new_preset` is what to do with it:

        known = Known.of_run(preset, snapshot, full_loss=1.2)
        await advice_flows.show(
            app, advice(known), partial(to_new_preset, app, preset), does="new preset"
        )
    """
    from lora_tui.tui.screens.advice import AdviceList

    chosen = await app.push_screen_wait(AdviceList(advices, does))
    if chosen is not None:
        await take(chosen)


async def to_new_preset(app: App[Any], preset: Preset, chosen: Advice) -> None:
    """Put a remedy into a copy of `preset`, saved under a name that is asked for, and open it."""
    entry = await preset_flows.new_preset(app, changed(preset, dict(chosen.changes)))
    if entry is not None:
        from lora_tui.tui.screens.preset_form import PresetForm

        await app.push_screen(PresetForm(entry))


async def on_run(app: App[Any], preset: Preset, advices: Sequence[Advice]) -> None:
    """Show the advice on a run of `preset`; the one that is chosen makes a new preset."""
    await show(app, advices, partial(to_new_preset, app, preset), does="new preset")


async def into_draft(
    app: App[Any], draft: Draft, found: Sequence[Measured], take: Callable[[Draft], object]
) -> None:
    """Show the advice on a draft; `take` gets the draft with the remedy that is chosen."""
    if draft.problems:
        app.notify(advice_words.CORRECT_FIRST, severity="warning", markup=False)
        return
    advices = await asyncio.to_thread(on_draft, draft, found)

    async def change(chosen: Advice) -> None:
        take(Draft.of(changed(draft.preset, dict(chosen.changes))))
        app.notify("\n".join(advice_words.changes(chosen)), title="Changed", markup=False)

    await show(app, advices, change, does="change it")
