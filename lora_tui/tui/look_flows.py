"""Looking at a preset before it is run: its data, and whether a run would work."""

import asyncio
from collections.abc import Callable
from typing import Any

from textual.app import App

from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.jobs import launch
from lora_tui.tui import preset_flows
from lora_tui.tui.preset_flows import Edited

Take = Callable[[Edited | None], None]


async def data(app: App[Any], entry: Entry, preset: Preset, take: Take | None = None) -> None:
    """Open the data of a preset; `take` is for a form that goes on with what was changed there.

    Raises:
        LoraTuiError: a path it names does not exist.
    """
    from lora_tui.tui.screens.data import DataScreen  # plotext and more, not before it is asked for

    await asyncio.to_thread(launch.located, preset)
    await app.push_screen(DataScreen(entry, preset, is_draft=take is not None), take)


async def check(app: App[Any], entry: Entry, preset: Preset, take: Take | None = None) -> None:
    """Open the check of a preset; `take` as above.

    Raises:
        LoraTuiError: a path it names does not exist.
    """
    from lora_tui.tui.screens.check import CheckScreen

    await asyncio.to_thread(launch.located, preset)
    await app.push_screen(CheckScreen(entry, preset, is_draft=take is not None), take)


LOOKS = {"data": data, "check": check}


async def look_at(app: App[Any], entry: Entry, how: str) -> None:
    """Look at a preset's file as it is now."""
    now = await preset_flows.read_again(app, entry)
    if now is not None and now.preset is not None:
        await LOOKS[how](app, now, now.preset)
