"""Questions about the value of one setting. Call these from a worker."""

from typing import Any

from textual.app import App

from lora_tui.core.settings import Knob, in_words
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm


async def may_run_code(app: App[Any]) -> bool:
    """Whether Python code that comes with the model may run here."""
    text = (
        "Python code that comes with the model then runs on this machine, as you, with your "
        "files and keys. Allow it only for code you have read, at a fixed revision."
    )
    question = Confirm(
        "Run code that comes with the model?", text, yes="allow it", no="keep it off"
    )
    allowed = await app.push_screen_wait(question)
    return bool(allowed)


async def pick(app: App[Any], item: Knob, text: str) -> int | None:
    """Which of a setting's choices is wanted; `text` is what stands there now."""
    words = [in_words(choice) for choice in item.limits.choices]
    present = words.index(text) if text in words else 0
    question = Choose(item.name, words, present, text=item.limits.help)
    return await app.push_screen_wait(question)
