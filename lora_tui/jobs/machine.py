"""Where a run would compute on this machine, asked without torch."""

import importlib.metadata
from pathlib import Path

from lora_tui.core import hardware
from lora_tui.core.errors import BadInput
from lora_tui.core.platforms import (
    Place,
    Platform,
    choose_backend,
    cpu_has_bfloat16,
    refusals,
)
from lora_tui.core.presets import Preset
from lora_tui.jobs.doctor import gpus

_AMPERE = 8.0  # the first NVIDIA GPUs that compute in bfloat16
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and either under Windows


def place_of(preset: Preset) -> Place:
    """Where `preset` would run, as far as it can be told from outside: the engine asks torch.

    Raises:
        LoraTuiError: it asks for a backend that is not installed.
    """
    backend = choose_backend(preset)
    if preset.engine.device == "cpu" or not _may_have_gpu():
        total = hardware.memory()
        platform = Platform(backend, "cpu", cpu_has_bfloat16())
        return Place(platform, hardware.free_memory(), total[1] if total else None)
    index = int(preset.engine.device.partition(":")[2] or 0)
    try:
        gpu = gpus()[index]
        used, total_bytes = (int(gpu[name]) << 20 for name in ("memory.used", "memory.total"))
        bfloat16 = float(gpu["compute_cap"]) >= _AMPERE
    except (IndexError, ValueError):  # no nvidia-smi; a GPU split with MIG answers [N/A]
        return Place(Platform(backend, "cuda", bfloat16=True))
    return Place(Platform(backend, "cuda", bfloat16), total_bytes - used, total_bytes)


def _may_have_gpu() -> bool:
    """Whether torch could see a GPU: it is no CPU build, and a driver is there."""
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return False
    return not version.endswith("+cpu") and any(Path(path).exists() for path in _DEVICES)


def refuse(preset: Preset) -> None:
    """Make sure that this machine can do what `preset` says, before anything is started.

    Raises:
        BadInput: it cannot; every key is named.
    """
    if found := refusals(preset, place_of(preset).platform):
        raise BadInput(
            "This preset cannot run here as it is written:\n"
            + "\n".join(f"  {line}" for line in found),
            "Change these keys; nothing was started.",
        )
