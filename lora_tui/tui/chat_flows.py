"""Opening a chat, and what is asked around it, step by step. Call these from a worker."""

import asyncio
from collections.abc import Sequence
from typing import Any

from textual.app import App

from lora_tui.core import prompts
from lora_tui.core.chat import Seat
from lora_tui.core.errors import BadInput
from lora_tui.core.members import BASE, Member, grouped
from lora_tui.core.runs import Run
from lora_tui.core.text import one_line
from lora_tui.jobs import talk
from lora_tui.jobs.launch import KEPT_REPORTS
from lora_tui.tui.columns import cut, dot
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm


async def open_chat(app: App[Any], members: Sequence[Member]) -> None:
    """Open the chat with `members` and their base.

    Of several bases one is chosen first: a chat loads one. What it would take from live runs is
    said before it does.

    Raises:
        LoraTuiError: nobody is to be talked to, or a run's preset cannot be read.
    """
    from lora_tui.tui.screens.chat import ChatScreen  # a text area and more, not before it is asked

    if not members:
        raise BadInput("There is nobody to talk to.", "Choose runs that have saved an adapter.")
    chosen = await _of_one_base(app, members)
    if chosen is None:
        return
    table = talk.table_of(chosen)
    words = await asyncio.to_thread(talk.rivalry, table)
    if words:
        question = Confirm("Chat beside a live run?", words, yes="open it", no="not now")
        if not await app.push_screen_wait(question):
            return
    await app.push_screen(ChatScreen(table))


async def _of_one_base(app: App[Any], members: Sequence[Member]) -> Sequence[Member] | None:
    """The members of one base; None when the choice was left."""
    groups = grouped(member for member in members if member.method != BASE)
    if len(groups) < 2:
        return groups[0] if groups else members[:1]
    choices = [
        cut(f"{group[0].name}{dot()}{', '.join(one.name for one in group[1:])}", 58)
        for group in groups
    ]
    text = f"These are of {len(groups)} bases, and a chat loads one."
    chosen = await app.push_screen_wait(Choose("Which base?", choices, 0, text=text))
    return None if chosen is None else groups[chosen]


async def keep(app: App[Any], prompt: str) -> None:
    """Keep a prompt for comparisons, and say where.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    is_new = await asyncio.to_thread(prompts.add, prompt)
    said = "Kept for comparisons in" if is_new else "It is kept already, in"
    app.notify(f"{said} {prompts.kept()}.", title=cut(one_line(prompt), 40), markup=False)


async def try_again(app: App[Any], seat: Seat) -> bool:
    """Whether to attach a member once more, after saying why it was refused."""
    said = "\n\n".join(seat.refused.values()).strip()
    name = one_line(seat.member.name)
    question = Confirm(f"{name} was refused", said, yes="try again", no="leave it")
    answer = await app.push_screen_wait(question)
    return answer is True


async def may_leave(app: App[Any], run: Run | None) -> bool:
    """Whether to leave a conversation, after saying what that ends and what it does not."""
    where = f"\nUntil {KEPT_REPORTS} newer reports or chats, {run.events} keeps it." if run else ""
    text = f"Its engine ends and frees its memory. No training run is touched.{where}"
    question = Confirm("Leave the chat?", text, yes="leave", no="stay", enter=True)
    answer = await app.push_screen_wait(question)
    return answer is True
