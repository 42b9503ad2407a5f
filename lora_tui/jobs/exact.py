"""The preset by which a merge or an export is measured: the base in 16 or more bits, exactly."""

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.parameters import read_base
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.jobs import machine
from lora_tui.jobs.compare import measuring_preset

_ROOM = 1.3  # of the weights in float32: what computing takes beside them


def exact_preset(members: list[Member]) -> tuple[Preset, bool]:
    """The members' base as it is measured, and whether there are held-out rows to measure on.

    Adapters trained on 4 bits go into the 16-bit base. On a GPU the arithmetic is float32 where
    that fits, else on the CPU, whose arithmetic always is.

    Raises:
        LoraTuiError: the preset of a run cannot be read.
    """
    preset, has_rows = measuring_preset(members, None)
    preset = changed(preset, {"model.load_in_4bit": False, "model.dtype": "auto"})
    try:
        place = machine.place_of(preset)
        wanted = _ROOM * 4 * read_base(members[0].base, members[0].revision).parameters
    except LoraTuiError:
        return preset, has_rows
    if not place.platform.on_gpu:
        return preset, has_rows
    fits = place.free is not None and place.free >= wanted
    change = {"model.dtype": "float32"} if fits else {"engine.device": "cpu"}
    return changed(preset, change), has_rows
