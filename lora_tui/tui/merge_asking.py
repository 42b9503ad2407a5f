"""What is asked around a merge, step by step. Call these from a worker."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App

from lora_tui.core import members
from lora_tui.core.members import Member
from lora_tui.core.merging import DTYPES, METHODS
from lora_tui.core.runs import Run
from lora_tui.core.settings import in_words
from lora_tui.core.text import one_line
from lora_tui.tui import compare_flows, member_flows, merge_draft
from lora_tui.tui.columns import left
from lora_tui.tui.compare_words import name_of
from lora_tui.tui.look import glyph
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.merge_outlook import Outlook, unfit, wrong_with_folder
from lora_tui.tui.merge_words import what
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm

_NAME = 16
_METHODS = "cat and svd take adapters of different ranks; the others need equal ones."
_WHERE = "A folder that is new, or empty, or holds an earlier merge. Nothing: the usual place."


# --- before -----------------------------------------------------------------------------------


async def edit(app: App[Any], draft: Draft, key: str) -> Draft | None:
    """Ask for another value of a line; None when it was left, or there is nothing to ask."""
    if key == "method":
        return await _method(app, draft)
    if key == "dtype":
        at = await app.push_screen_wait(
            Choose("Number format", DTYPES, DTYPES.index(draft.plan.dtype))
        )
        return None if at is None else draft.with_value(key, DTYPES[at])
    if key == "out":
        return await _where(app, draft)
    item = draft.knob_of(key)
    if item is None:
        app.notify("A single adapter goes in whole; + adds another.", markup=False)
        return None
    place = draft.place_of(key)
    title = key if place is None else f"Weight of {one_line(name_of(draft.plan.members[place]))}"
    wrong = partial(merge_draft.wrong_with, item)
    question = Question(item.name, in_words(draft.value(key)), wrong)
    answers = await app.push_screen_wait(Ask(title.capitalize(), question, text=item.limits.help))
    return None if answers is None else draft.with_value(key, merge_draft.read(item, answers[0]))


async def _method(app: App[Any], draft: Draft) -> Draft | None:
    """Ask for the method, with a mark before each that these adapters do not fit."""
    from lora_tui.tui.screens.choose_method import ChooseMethod

    names = list(METHODS)
    marked = await asyncio.to_thread(unfit, draft)
    marks = [glyph("failed") if name in marked else " " for name in names]
    choices = [
        f"{mark} {left(name, _NAME)}{what(name)}" for mark, name in zip(marks, names, strict=True)
    ]
    text = _METHODS + (f" {glyph('failed')} does not fit these." if marked else "")
    at = await app.push_screen_wait(
        ChooseMethod("Method", choices, names.index(draft.plan.method), text=text)
    )
    return None if at is None else draft.with_value("method", names[at])


async def _where(app: App[Any], draft: Draft) -> Draft | None:
    look = partial(_wrong_with_folder, draft.plan.members)
    question = Question("Folder", draft.out, look=look)
    answers = await app.push_screen_wait(Ask("Where to", question, text=_WHERE))
    return None if answers is None else draft.with_value("out", answers[0])


def _wrong_with_folder(who: Sequence[Member], text: str) -> str | None:
    """Why nothing can be written there; nothing is no folder of its own."""
    try:
        found = wrong_with_folder(Path(text).expanduser().absolute(), who) if text else []
    except (RuntimeError, ValueError) as error:  # no such user, a NUL in it
        return f"This is no path: {error}."
    return next(iter(found), None)


async def add(app: App[Any], draft: Draft) -> Draft | None:
    """Ask for one more adapter; None when it was left."""
    more = await member_flows.one_more(app, draft.plan.members, "merge")
    return None if more is None else draft.with_member(more)


async def may_start(app: App[Any], outlook: Outlook) -> bool:
    """Whether to begin, after saying what is replaced, and what is at work beside it."""
    if outlook.earlier:
        text = f"{outlook.draft.folder}\n\nThe merge of {outlook.earlier} that stands there stays "
        text += "until the new one is whole, and is gone then."
        question = Confirm("Replace the earlier merge?", text, yes="replace it", no="keep it")
        if not await app.push_screen_wait(question):
            return False
    return await member_flows.beside_others(app, title="Merge now?", what="Merging", yes="merge")


# --- at work, and after -----------------------------------------------------------------------


async def stop(app: App[Any], run: Run, state: str) -> None:
    """End a merge after asking; one that was asked already and hangs is killed."""
    text = "What was written of it is removed; an earlier merge in its place stays."
    killed = "Nothing unfinished is left in the way."
    await member_flows.stop(app, run, state, title="Stop merging?", text=text, killed=killed)


async def export(app: App[Any], model: str) -> None:
    """Open the export of what was merged."""
    from lora_tui.tui import export_flows

    await export_flows.open_export(app, await asyncio.to_thread(members.of_source, model))


async def ask(app: App[Any], adapter: str, who: Sequence[Member]) -> None:
    """Open a chat with the combined adapter, and with those that went into it."""
    merged = await asyncio.to_thread(members.of_reference, adapter)
    await compare_flows.ask(app, [replace(merged, name="merged"), *who])


async def delete(app: App[Any], run: Run, model: str) -> bool:
    """Delete a merge after asking; a model that it wrote elsewhere stays."""
    text = f"{run.path}\n\nIts figures and its log are removed for good"
    if model:
        is_inside = model.startswith(f"{run.path}/")
        text += ", and the merged model in it" if is_inside else f"; {model} stays"
    question = Confirm("Delete this merge?", f"{text}.", yes="delete", no="keep it")
    if not await app.push_screen_wait(question):
        return False
    await member_flows.remove(run)
    return True


def say_where(app: App[Any], path: str) -> None:
    """Say where the result is, and copy its path where the terminal lets one."""
    app.copy_to_clipboard(path)
    app.notify(path, title="Merged model in (path copied)", timeout=10, markup=False)
