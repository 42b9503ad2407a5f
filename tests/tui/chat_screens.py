"""What the tests of the Chat screen share."""

from typing import Any

from textual.pilot import Pilot

from lora_tui.tui.screens.chat import ChatScreen
from lora_tui.tui.widgets.prompt_area import PromptArea
from lora_tui.tui.widgets.transcript import Transcript

from .conftest import shown

SIZE = (80, 24)


class Heard:
    """In place of an engine: what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.said.append((name, *what))


def heard(screen: ChatScreen) -> list[tuple[Any, ...]]:
    """What the screen wants of its engine since it was asked last."""
    engine = Heard()
    for request in screen._requests.take():
        request(engine)  # type: ignore[arg-type]  # stands for a Talk
    return engine.said


def conversation(screen: ChatScreen) -> str:
    return screen.query_one(Transcript).plain()


def prompt(screen: ChatScreen) -> PromptArea:
    return screen.query_one(PromptArea)


def keys(screen: ChatScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


def flat(pilot: Pilot[Any]) -> str:
    """What is shown as one line of words, out of all boxes."""
    return " ".join(shown(pilot).replace("│", " ").split())


async def typed(pilot: Pilot[Any], text: str, *then: str) -> None:
    await pilot.press(*["space" if letter == " " else letter for letter in text], *then)
    await pilot.pause()
