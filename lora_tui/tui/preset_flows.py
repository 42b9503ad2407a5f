"""What is done with preset files, step by step. Call these from a worker."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.app import App

from lora_tui.core import files, locations, preset_files
from lora_tui.core.draft import Draft, differences
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import slug
from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.core.text import one_line
from lora_tui.tui.columns import arrow
from lora_tui.tui.screens.ask import Ask, Question
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.notice import Notice


@dataclass(frozen=True, slots=True)
class Edited:
    """What became of a preset: the file it stands in, and as it is now, saved or not."""

    entry: Entry
    preset: Preset


async def new_preset(app: App[Any], preset: Preset) -> Entry | None:
    """Save a copy of `preset` under a name that is asked for; None when it was left."""
    return await save_as(app, f"New preset from {preset.name}", preset)


async def read_again(app: App[Any], entry: Entry) -> Entry | None:
    """The preset's file as it is now; None once what is wrong with it is told."""
    entry = await asyncio.to_thread(Entry.read, entry.path, shipped=entry.shipped)
    if entry.preset is not None:
        return entry
    problems = "\n".join(f"  {problem}" for problem in entry.problems)
    text = f"{entry.path}\n\n{problems}\n\nCorrect the file; enter opens it then."
    await app.push_screen(Notice(f"{entry.name} has problems", text))
    return None


async def save(app: App[Any], opened: Entry, preset: Preset, *, ask_name: bool) -> Entry | None:
    """Save what was opened, under another name or in its place; None when it was left."""
    if ask_name:
        saved = await save_as(app, f"Save {opened.name} as", preset)
    else:
        saved = await save_over(app, opened, preset)
    if saved is not None:
        app.notify(f"Saved in {saved.path}.", markup=False)
    return saved


async def save_as(app: App[Any], title: str, preset: Preset) -> Entry | None:
    """Save a user preset under a name that is asked for; one that exists is asked about."""
    suggestion = await asyncio.to_thread(free_name, preset.name)
    answers = await app.push_screen_wait(
        Ask(
            title,
            Question("Name", suggestion, _problem),
            Question("When to pick it", preset.description),
            text=f"It is saved in {locations.user_presets_folder()}.",
        )
    )
    if answers is None:
        return None
    name, description = answers
    if _path(name).exists():
        text = "Your preset of that name would be replaced."
        question = Confirm(f"{name} exists", text, yes="replace it", no="keep it")
        if not await app.push_screen_wait(question):
            return None
    return await asyncio.to_thread(_save, preset, name, description)


async def save_over(app: App[Any], opened: Entry, preset: Preset) -> Entry | None:
    """Save a user preset in its place; None when its file changed meanwhile and was kept."""
    changed = await asyncio.to_thread(_what_happened, opened)
    if changed:
        text = f"{opened.path} {changed} since it was opened here."
        question = Confirm("The file is not what it was", text, yes="save over it", no="leave it")
        if not await app.push_screen_wait(question):
            return None
    return await asyncio.to_thread(_save, preset, preset.name, preset.description, path=opened.path)


async def may_leave(app: App[Any], unsaved: str, save: Callable[[], Awaitable[bool]]) -> bool:
    """Whether to leave: unsaved changes are asked about, and saved if that is the answer."""
    if not unsaved:
        return True
    choices = ("save and leave", "leave without saving", "stay")
    chosen = await app.push_screen_wait(Choose("Unsaved changes", choices, 0, text=unsaved))
    return chosen == 1 or (chosen == 0 and await save())


def few(keys: Sequence[str]) -> str:
    """The first of many keys, and how many more there are."""
    more = f" and {len(keys) - 4} more" if len(keys) > 4 else ""
    return ", ".join(keys[:4]) + more


def _what_happened(opened: Entry) -> str:
    """What others did to the file since it was read; nothing, mostly."""
    try:
        on_disk = preset_files.load(opened.path)
    except LoraTuiError:
        return "can no longer be read" if opened.path.exists() else "was removed"
    return "" if on_disk == opened.preset else "was changed by another program"


def _save(preset: Preset, name: str, description: str, *, path: Path | None = None) -> Entry:
    described = preset_files.changed(preset, {"description": description})
    return Entry.read(preset_files.save(described, name, path=path), shipped=False)


def free_name(name: str) -> str:
    """A name for a preset made from another: `my-name`, then `my-name-2` and so on."""
    wanted = slug(name if name.startswith("my-") else f"my-{name}")
    return files.free_name(wanted, lambda free: _path(free).exists())


def _path(name: str) -> Path:
    return locations.user_presets_folder() / f"{slug(name)}.toml"


def _problem(name: str) -> str | None:
    if not name:
        return "A preset needs a name."
    return None if slug(name) == name else f"It is a file's name too: take {slug(name)}."


async def show_difference(app: App[Any], opened: Entry, draft: Draft, *, edited: bool) -> None:
    """Show what differs from the saved file; of an unedited copy, from the shipped preset."""
    path = opened.path
    shipped = locations.shipped_presets_folder() / path.name
    if not edited and not opened.shipped and shipped.exists():
        path = shipped
    rows = differences(await asyncio.to_thread(preset_files.load, path), draft)
    if not rows:
        app.notify(f"Nothing differs from {one_line(path.name)}.", markup=False)
        return
    keys, olds = (max(len(row[at]) for row in rows) for at in range(2))
    olds = min(olds, 24)
    lines = [f"{key:<{keys}}  {one_line(old):>{olds}}  {arrow()}  {new}" for key, old, new in rows]
    app.push_screen(Notice(f"Changed from {path.stem}", "\n".join(lines)))
