"""The data screen, opened on reports written by hand."""

from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.tui.screens.data import DataScreen
from lora_tui.tui.widgets.paper import Paper

from .conftest import settled
from .data_reports import (
    PRESET,
    data_screen,
    ready,
    until,
)

SIZE = (80, 24)
EVIL = (
    "\x1b]0;PWNED\x07\x1b[2J\x1b[31mred[/] [bold]b[/] \u202egnp\u2066.exe \x00\t|"
    "日本語日本語 e" + "\u0301" * 40 + " 🇩🇪 👍🏽 ❤️ 👩‍💻 \r\n" + "w" * 10_000 + "\x9b31m"
)
"""Text that would command a terminal, were it written to one."""


async def opened(pilot: Pilot[Any], preset: Preset = PRESET) -> DataScreen:
    """The data screen of a shipped preset, once the report is there."""
    await settled(pilot)
    entry = Entry("demo", Path("demo.toml"), shipped=True, preset=preset)
    await pilot.app.push_screen(DataScreen(entry, preset))
    return await ready(pilot)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def at_row(pilot: Pilot[Any], number: int, *, raw: bool = False) -> str:
    """Wait for a row; its text."""
    screen = data_screen(pilot)

    def is_there() -> bool:
        row = screen.frame.row
        return row is not None and row.number == number - 1 and row.is_raw == raw

    await until(pilot, is_there)
    await pilot.pause()
    return screen.query_one("#text", Paper).plain()
