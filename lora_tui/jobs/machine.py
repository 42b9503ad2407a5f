"""Where a run would compute on this machine, asked without torch."""

import importlib.metadata
import os
import time
from functools import lru_cache
from pathlib import Path

from lora_tui.core import devices, hardware
from lora_tui.core.devices import Wanted
from lora_tui.core.errors import BadInput
from lora_tui.core.platforms import (
    Place,
    Platform,
    choose_backend,
    cpu_has_bfloat16,
    no_gpu,
    refusals,
    visible_gpus,
)
from lora_tui.core.presets import Preset
from lora_tui.jobs.doctor import gpus

_FRESH = 5.0  # seconds
_AMPERE = 8.0  # the first NVIDIA GPUs that compute in bfloat16
_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, and either under Windows


def wanted_devices(preset: Preset, visible: str | None) -> Wanted:
    """The devices that a run of `preset` may take here, where `visible` GPUs may be used.

    `visible` is CUDA_VISIBLE_DEVICES, None where it is not set.

    Raises:
        LoraTuiError: as `place_of`.
    """
    place = place_of(preset, visible)
    number = len(_gpus_lately(int(time.monotonic() / _FRESH))) or 1
    names = devices.gpu_names(visible, number) if place.platform.on_gpu else ()
    return devices.wanted(preset.engine.device, preset.engine.processes, names)


def place_of(preset: Preset, visible: str | None = None) -> Place:
    """Where `preset` would run, as far as it can be told from outside: the engine asks torch.

    `visible` stands for CUDA_VISIBLE_DEVICES, if not this process's own.

    Raises:
        LoraTuiError: it asks for a backend that is not installed, or a GPU that is not there.
    """
    backend, device = choose_backend(preset), preset.engine.device
    seen = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    name = visible_gpus(device, seen)
    if not name or not _may_have_gpu():
        if device.startswith("cuda"):
            raise no_gpu(device)
        return Place(Platform(backend, "cpu", cpu_has_bfloat16()), hardware.free_memory())
    try:
        gpu = _gpus_lately(int(time.monotonic() / _FRESH))[int(name)]
        used, total = (int(gpu[field]) << 20 for field in ("memory.used", "memory.total"))
        bfloat16 = float(gpu["compute_cap"]) >= _AMPERE
    except (IndexError, ValueError):  # no nvidia-smi, a GPU by its UUID, or one split with MIG
        return Place(Platform(backend, "cuda", bfloat16=True))
    return Place(Platform(backend, "cuda", bfloat16), total - used)


@lru_cache(maxsize=1)
def _gpus_lately(_: int) -> list[dict[str, str]]:
    """Asked at most once in a few seconds: nvidia-smi is slow, and forms ask at every key."""
    return gpus()


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
