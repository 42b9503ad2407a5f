"""What a comparison asks, and how: chosen step by step. Call these from a worker."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from textual.app import App

from lora_tui.core import locations, prompts
from lora_tui.core.chat_settings import KNOBS
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.settings import Knob, SettingsError, in_words, knob, knobs_of, parse
from lora_tui.jobs.compare import Asked
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.ask_lines import AskLines
from lora_tui.tui.screens.choose import Choose

_FORMS = "A text file with a prompt a line, or .jsonl with prompt, question or messages."


@dataclass(frozen=True)
class _Number:
    """How many held-out rows are asked."""

    number: int = knob(8, "How many held-out questions are asked.", low=1, high=512)


_KNOBS: Mapping[str, Knob] = {
    **{item.name: item for item in knobs_of(_Number, "")},
    **{item.name: item for item in KNOBS if item.name != "system"},
}
_LABELS = {
    "number": "number of questions",
    "max_new_tokens": "max new tokens",
    "temperature": "temperature, 0 for greedy",
    "top_p": "top-p, where it is not greedy",
    "seed": "seed, where it is not greedy",
}


def asked_before(settings: Mapping[str, Any]) -> Asked:
    """What a comparison was asked for, from its settings; defaults where they do not say."""
    known = {item.name for item in fields(Asked)} - {"prompts", "preset"}
    values = {name: value for name, value in settings.items() if name in known}
    return Asked(prompts=tuple(map(str, settings.get("prompts") or ())), **values)


async def other(app: App[Any], asked: Asked) -> Asked | None:
    """Ask for other prompts and other settings; None when it was left."""
    ways = ["held-out rows", "typed here", "from a file"]
    if await asyncio.to_thread(prompts.kept().exists):
        ways.append("kept from chats")
    text = "Each is asked of the base and of every member, with the same settings."
    present = 1 if asked.prompts else 0
    at = await app.push_screen_wait(Choose("Which prompts?", ways, present, text=text))
    if at is None:
        return None
    found: Sequence[str] | None = ()
    if at == 1:
        found = await _typed(app, asked.prompts)
    elif at == 2:
        found = await _from_file(app)
    elif at == 3:
        found = await asyncio.to_thread(prompts.read, prompts.kept())
    return None if found is None else await _settings(app, replace(asked, prompts=tuple(found)))


async def _typed(app: App[Any], before: Sequence[str]) -> list[str] | None:
    """Prompts of a line each; those that a line would not give back as they are stay unshown."""
    lines = [one for one in before if one.splitlines() == [one.strip()]]
    long = [one for one in before if one not in lines]
    text = "One a line."
    if long:
        text += f" {len(long)} that no line can show stay among them."
    needed = "" if long else "Type a prompt."
    question = AskLines("Prompts", lines, text=text, needed=needed)
    typed = await app.push_screen_wait(question)
    return None if typed is None else [*long, *typed]


async def _from_file(app: App[Any]) -> list[str] | None:
    question = Question("Path", "", _wrong_with_file)
    answers = await app.push_screen_wait(Ask("Prompts from a file", question, text=_FORMS))
    return await asyncio.to_thread(prompts.read, _path(answers[0])) if answers else None


def _wrong_with_file(text: str) -> str | None:
    """Why no prompts can be read; asked while it is typed, so that it stays to be mended."""
    if not text:
        return "Type the path of a file."
    try:
        prompts.read(_path(text))
    except LoraTuiError as error:
        return error.summary
    return None


def _path(text: str) -> Path:
    return locations.local_path(text) or Path(text).expanduser()


async def _settings(app: App[Any], asked: Asked) -> Asked | None:
    names = [name for name in _LABELS if name != "number" or not asked.prompts]
    questions = [
        Question(_LABELS[name], in_words(getattr(asked, name)), partial(_wrong_with, name))
        for name in names
    ]
    number = len(asked.prompts)
    title = f"Ask {number} prompt{'s' * (number != 1)}" if number else "Ask held-out questions"
    answers = await app.push_screen_wait(Ask(title, *questions))
    if answers is None:
        return None
    pairs = zip(names, answers, strict=True)
    return replace(asked, **{name: _value(name, text) for name, text in pairs})


def _value(name: str, text: str) -> Any:
    item = _KNOBS[name]
    value = parse(item, text)
    return float(value) if item.types == (float,) else value


def _wrong_with(name: str, text: str) -> str | None:
    """What is wrong with the text of one setting."""
    try:
        _value(name, text)
    except SettingsError as error:
        return f"{_LABELS[name].partition(',')[0]}: {error.problems[0].message}."
    return None
