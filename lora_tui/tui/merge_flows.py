"""Opening a merge. Call these from a worker."""

import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import App

from lora_tui.core import comparisons
from lora_tui.core.errors import BadInput
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.tui import member_flows


async def merge_runs(app: App[Any], picked: Sequence[Run]) -> None:
    """Open the merge of what runs left; those that left nothing yet are named, and left out.

    Raises:
        LoraTuiError: none of them left an adapter.
    """
    await open_merge(app, await member_flows.results_of(app, picked))


async def open_merge(app: App[Any], who: Sequence[Member]) -> None:
    """Open the merge of members.

    Raises:
        BadInput: a whole model is among them, which has nothing to merge.
    """
    from lora_tui.tui.screens.merge import MergeScreen

    if whole := [member.name for member in who if member.method != "lora"]:
        raise BadInput(
            f"{' and '.join(whole)} left a whole model: there is no adapter to merge.",
            "e exports it as it is.",
        )
    await app.push_screen(MergeScreen(who))


async def open_earlier(app: App[Any], run: Run) -> None:
    """Show a merge there is, at work or ended."""
    from lora_tui.tui.screens.merge import MergeScreen

    await app.push_screen(MergeScreen(await asyncio.to_thread(comparisons.members_of, run), run))
