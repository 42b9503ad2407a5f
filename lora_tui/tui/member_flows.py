"""What opening a comparison, a chat, a merge or an export has in common. Call from a worker."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from textual.app import App

from lora_tui.core import members, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.core.text import one_line
from lora_tui.jobs import control
from lora_tui.tui.screens.ask import Ask, Question
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


async def one_more(app: App[Any], who: Sequence[Member], what: str) -> Member | None:
    """Ask for another member beside `who` in a merge or a comparison; None when it was left."""
    text = "An id or name of a run, a folder with an adapter, or a Hub id that is on this machine."
    ids = {member.id for member in who}
    at_once, look = partial(_wrong_at_once, ids, what), partial(_wrong_with_name, ids, what)
    question = Question("Run, folder or Hub id", "", at_once, look)
    answers = await app.push_screen_wait(Ask(f"Add to the {what}", question, text=text))
    if answers is None:
        return None
    return await asyncio.to_thread(members.of_reference, answers[0])


def _wrong_at_once(ids: set[str], what: str, text: str) -> str | None:
    if not text:
        return "Name a run, a folder or a Hub id."
    return f"{text} is in this {what} already." if text in ids else None


def _wrong_with_name(ids: set[str], what: str, text: str) -> str | None:
    """Why it cannot be added; reads the disk."""
    try:
        more = members.of_reference(text)
    except LoraTuiError as error:
        return error.summary
    return f"{more.name} is in this {what} already." if more.id in ids else None


async def stop(
    app: App[Any], run: Run, state: str, *, title: str, text: str, killed: str = ""
) -> None:
    """End a job after asking; one that was asked already and hangs is killed.

    `text` says what is kept of one that stops, `killed` of one that is killed.
    """
    again = state == "stopping"
    question = Confirm(title, text, yes="stop it", no="go on")
    if again:
        said = f"It was asked to stop already. {killed}".rstrip()
        question = Confirm("Kill it?", said, yes="kill it", no="wait")
    if not await app.push_screen_wait(question):
        return
    if await asyncio.to_thread(runs.is_alive, run):  # it may have ended by itself meanwhile
        await asyncio.to_thread(control.kill if again else control.stop, run)


async def remove(run: Run, *, grace: float = 10.0) -> None:
    """Delete a job that is over, once its engine has left.

    Raises:
        LoraTuiError: it does not leave, or its files cannot be removed.
    """
    await asyncio.to_thread(control.wait_until_dead, run, grace)
    await asyncio.to_thread(runs.delete, run)
