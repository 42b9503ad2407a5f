"""What is asked and done around a preset's data, step by step. Call these from a worker."""

from collections.abc import Mapping, Sequence
from typing import Any

from textual.app import App

from lora_tui.core.preset_check import ROLES
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.text import one_line
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
