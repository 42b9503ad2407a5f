"""What opening a comparison, a chat, a merge or an export has in common. Call from a worker."""

import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import App

from lora_tui.core import members
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.core.text import one_line
from lora_tui.tui.screens.confirm import Confirm


async def results_of(app: App[Any], picked: Sequence[Run]) -> list[Member]:
    """What runs left; those that left nothing yet are named, and left out.

    Raises:
        LoraTuiError: none of them left anything.
    """
    found, problems = await asyncio.to_thread(_results, picked)
    if not found:
        raise problems[0] if problems else BadInput("No run is chosen.", "Mark some with space.")
    if problems:
        said = " ".join(problem.summary for problem in problems)
        app.notify(said, title="Left out", severity="warning", timeout=10, markup=False)
    return found


def _results(picked: Sequence[Run]) -> tuple[list[Member], list[LoraTuiError]]:
    found, problems = list[Member](), list[LoraTuiError]()
    for run in picked:
        try:
            found.append(members.of_run(run))
        except LoraTuiError as error:
            problems.append(error)
    return found, problems


async def beside_others(
    app: App[Any],
    besides: Run | None = None,
    *,
    title: str = "Compare now?",
    what: str = "Measuring",
    yes: str = "compare",
) -> bool:
    """Whether to begin, after saying what else but `besides` is at work on this machine."""
    from lora_tui.jobs import talk

    lines = [line for line in await asyncio.to_thread(talk.rivals) if line.run != besides]
    if not lines:
        return True
    first, more = one_line(lines[0].name), len(lines) - 1
    who = f"{first} and {more} more are running" if more else f"{first} is running"
    text = f"{who} on this machine. {what} beside it takes memory, and slows both."
    question = Confirm(title, text, yes=yes, no="not now", enter=True)
    return await app.push_screen_wait(question) is True
