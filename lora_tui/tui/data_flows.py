"""What is asked and done around a preset's data, step by step. Call these from a worker."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual.app import App

from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import ROLES, Preset
from lora_tui.core.text import one_line
from lora_tui.jobs import launch
from lora_tui.tui import preset_flows
from lora_tui.tui.columns import arrow, cut
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.choose import Choose

_MEANS = {
    "messages": "a list of messages with roles",
    "prompt": "what is asked",
    "completion": "what is answered: trained on",
    "context": "what the question is about",
    "system": "the system prompt",
    "text": "plain text: all of it is trained on",
}


async def open_data(app: App[Any], entry: Entry) -> None:
    """Look at the data of a preset's file as it is now."""
    now = await preset_flows.read_again(app, entry)
    if now is not None and now.preset is not None:
        await look(app, now, now.preset)


async def look(
    app: App[Any],
    entry: Entry,
    preset: Preset,
    take: Callable[[preset_flows.Edited | None], None] | None = None,
) -> None:
    """Open the data of a preset; `take` is for a form that goes on with what was changed there.

    Raises:
        LoraTuiError: a path it names does not exist.
    """
    from lora_tui.tui.screens.data import DataScreen  # plotext and more, not before it is asked for

    await asyncio.to_thread(launch.located, preset)
    await app.push_screen(DataScreen(entry, preset, is_draft=take is not None), take)


async def ask_number(app: App[Any]) -> int | None:
    """The number of a row, from 1 on; None when it was left."""

    def problem(text: str) -> str | None:
        digits = text.replace(",", "")
        fits = digits.isdecimal() and int(digits[:18]) > 0 and len(digits) <= 18
        return None if fits else "A row has a number, from 1 on."

    answers = await app.push_screen_wait(Ask("Go to a row", Question("Number", "", problem)))
    return int(answers[0].replace(",", "")) if answers else None


async def map_column(
    app: App[Any], preset: Preset, names: Sequence[str], found: Mapping[str, str]
) -> Preset | None:
    """Ask what a role's column is, and set `data.columns`; None when it was left.

    `names` are the columns there are, `found` what they were taken for.
    """
    given = dict(entry.split("=", 1) for entry in preset.data.columns)
    known = {**found, **given}
    columns = list(dict.fromkeys((*names, *known.values())))
    if not columns:
        app.notify("No columns are known yet: the data could not be read.", markup=False)
        return None
    present = [f"{arrow()} {cut(known[role], 20)}" if role in known else "" for role in ROLES]
    words = [
        f"{role:<11}{cut(_MEANS[role], 36):<37}{column}"
        for role, column in zip(ROLES, present, strict=True)
    ]
    at = await app.push_screen_wait(Choose("Which role?", words, 0))
    if at is None:
        return None
    role = ROLES[at]
    choices = [*map(one_line, columns), "none of them"]
    here = columns.index(known[role]) if role in known else 0
    chosen = await app.push_screen_wait(Choose(f"Which column is the {role}?", choices, here))
    if chosen is None:
        return None
    taken = {name: column for name, column in known.items() if _go_together(name, role)}
    taken[role] = columns[chosen] if chosen < len(columns) else ""
    entries = [f"{name}={taken[name]}" for name in ROLES if taken.get(name)]
    return changed(preset, {"data.columns": entries})


def _go_together(one: str, other: str) -> bool:
    """Whether a row can have both: a whole in one column excludes parts in others."""
    wholes = {"messages", "text"}
    return one == other or not wholes & {one, other}
