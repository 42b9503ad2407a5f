"""The form of a preset, opened."""

from pathlib import Path

from textual.pilot import Pilot

from lora_tui.core import preset_files
from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.tui.screens.preset_form import PresetForm

from .conftest import settled


async def opened(pilot: Pilot[None], path: Path, *, shipped: bool = True) -> PresetForm:
    """The form of a preset file."""
    await settled(pilot)
    form = PresetForm(Entry.read(path, shipped=shipped))
    await pilot.app.push_screen(form)
    await settled(pilot)
    return form


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


def mine() -> Path:
    return preset_files.save(Preset(description="Mine."), "mine")
