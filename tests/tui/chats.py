"""Chats told by hand: what an engine says, without an engine."""

from collections.abc import Sequence
from typing import Any

from textual.pilot import Pilot

from lora_tui.core.chat import Chat
from lora_tui.core.chat_folding import Folding
from lora_tui.core.members import Member, grouped
from lora_tui.tui.chat_watching import Frame
from lora_tui.tui.screens.chat import ChatScreen

Told = dict[str, Any]


def adapter(name: str, base: str = "demo", **more: Any) -> Member:
    return Member(name, name, "lora", f"/runs/{name}/adapter", base, **more)


def table(*names: str) -> list[Member]:
    """The base and adapters of it."""
    (group,) = grouped(map(adapter, names))
    return group


THREE = table("r16-alpaca", "r8-pirate", "r32-other")


def event(kind: str, **fields: Any) -> Told:
    return {"kind": kind, "t": 0.0, **fields}


STARTED = event("started", device="cpu", backend="transformers")
LOADED = event("loaded", id="base", seconds=1.2, dtype="float32", memory_bytes=5_300_000)
READY = event("ready")


def loaded(members: Sequence[Member], refused: Sequence[str] = ()) -> list[Told]:
    """Everybody is attached, but those refused; the first adapter answers."""
    said = [STARTED, LOADED]
    for member in members[1:]:
        if member.id in refused:
            hint = "Choose the adapter of a run of this base."
            words = "It was made for another base: size mismatch in 14 layers."
            said.append(event("refused", id=member.id, summary=words, hint=hint))
        else:
            said.append(event("attached", id=member.id, milliseconds=412.0, warnings=[]))
    return [*said, event("used", id=members[min(1, len(members) - 1)].id, milliseconds=17.8), READY]


def asked(number: int, prompt: str, *to: str) -> Told:
    return event("asked", number=number, prompt=prompt, to=list(to))


def answered(number: int, id_: str, text: str, **more: Any) -> Told:
    facts = {"tokens": 12, "seconds": 0.34, "prompt_tokens": 30, "ended": "end of turn"}
    return event("answered", number=number, id=id_, text=text, **{**facts, "mixed": False, **more})


def told(members: Sequence[Member], *events: Told) -> Chat:
    return Folding(members).fold(events)


def put(screen: ChatScreen, *events: Told, **more: Any) -> None:
    """Let the screen's thread have heard of `events`, and nothing else."""
    chat = told(screen.session.members, *events)
    screen.post_message(screen.Arrived(Frame(chat, **more), screen._requests))


async def opened(pilot: Pilot[Any], members: Sequence[Member], *events: Told) -> ChatScreen:
    """The chat screen, with no engine behind it."""
    screen = ChatScreen(members)
    await pilot.app.push_screen(screen)
    await pilot.pause()
    if events:
        put(screen, *events)
        await pilot.pause()
    return screen
