"""Opening an export, and what is asked around it, step by step. Call these from a worker."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from textual.app import App

from lora_tui.core import members, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.exporting import ExportPlan
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.tui import member_flows
from lora_tui.tui.columns import cut, left
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.choose import Choose

# --- from Home --------------------------------------------------------------------------------


async def export_runs(app: App[Any], picked: Sequence[Run]) -> None:
    """Open the export of the one run that is picked.

    Raises:
        LoraTuiError: it has saved nothing yet, or several are marked.
    """
    if len(picked) > 1:
        raise BadInput(
            f"{len(picked)} runs are marked, and one is exported at a time.",
            "esc takes the marks away; m merges several into one.",
        )
    for run in picked:
        await export_run(app, run)


async def export_run(app: App[Any], run: Run) -> None:
    """Open the export of what a run left.

    Raises:
        LoraTuiError: it has saved nothing yet, or its preset cannot be read.
    """
    await open_export(app, await asyncio.to_thread(members.of_run, run))


async def open_export(app: App[Any], member: Member) -> None:
    """Open the export of an adapter or a model; a live or earlier one is shown as it stands."""
    from lora_tui.tui.screens.export import ExportScreen

    await app.push_screen(ExportScreen(member))


# --- on the screen ----------------------------------------------------------------------------


async def may_start(app: App[Any], plan: ExportPlan) -> bool:
    """Whether to begin, after saying what else is at work on this machine.

    Raises:
        BadInput: nothing is ticked.
    """
    if not plan.quants:
        raise BadInput("No type is ticked.", "space ticks the one at the cursor, a the usual ones.")
    return await member_flows.beside_others(
        app, title="Export now?", what="Writing and proving", yes="export"
    )


async def goes_on(run: Run | None) -> bool:
    """Whether an export that was found is still at work."""
    return run is not None and await asyncio.to_thread(runs.is_alive, run)


async def stop(app: App[Any], run: Run, state: str) -> None:
    """End an export after asking; one that is stopping already can be killed."""
    await member_flows.stop(
        app,
        run,
        state,
        title="Stop this export?",
        text="Files that are whole are kept; x goes on with the others.",
        killed="Killed, it leaves no half file under a final name either.",
    )


async def ask_folder(app: App[Any], present: str) -> str | None:
    """Ask where the files go; None when the user thought better of it."""
    text = "It is made if it is not there. What lies in it stays; only files of this name change."
    question = Question("Folder", present, _wrong_with_folder)
    answers = await app.push_screen_wait(Ask("Where the files go", question, text=text))
    return None if answers is None else str(Path(answers[0]).expanduser().absolute())


def _wrong_with_folder(text: str) -> str | None:
    """Why nothing can be written there; asked while it is typed, so that it stays to be mended."""
    if not text:
        return "Name a folder."
    try:
        folder = Path(text).expanduser().absolute()
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
    except (OSError, RuntimeError, ValueError) as error:
        return f"This is no path: {error}."
    if not nearest.is_dir():
        return f"{nearest} is a file."
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"Nothing can be written in {nearest}: it is read-only for you."
    return None


async def copy(app: App[Any], texts: Sequence[tuple[str, str]]) -> None:
    """Choose one of the texts and copy it, where the terminal lets one; it is shown too."""
    at = 0
    if len(texts) > 1:
        choices = [f"{left(name, 10)} {cut(text, 47)}" for name, text in texts]
        chosen = await app.push_screen_wait(Choose("Copy", choices, 0))
        if chosen is None:
            return
        at = chosen
    name, text = texts[at]
    app.copy_to_clipboard(text)
    app.notify(text, title=f"{name} (copied)", timeout=10, markup=False)
