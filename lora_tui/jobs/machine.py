"""Where a run would compute on this machine, asked without torch."""

import importlib.metadata
import os
import time
from functools import lru_cache
from pathlib import Path

from lora_tui.core import devices, hardware
from lora_tui.core.devices import Wanted
from lora_tui.core.errors import BadInput, LoraTuiError
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
        BadInput: it asks for GPUs that are not there.
        LoraTuiError: which GPUs there are cannot be told now.
    """
    device, processes = preset.engine.device, preset.engine.processes
    if not _gpu_of(device, visible):
        return devices.wanted(device, processes, ())
    names = devices.gpu_names(visible, len(_known_gpus()))
    if not names and (":" in device or processes > 1):
        raise LoraTuiError("nvidia-smi does not say which GPUs are here.", "Try again later.")
    names = names or ("0",)
    if int(device.partition(":")[2] or 0) >= len(names):
        raise no_gpu(device)
    if processes > len(names):
        raise BadInput(
            f"engine.processes: {processes} need a GPU each, and {len(names)} are here.",
            "Take fewer, or let more be seen (CUDA_VISIBLE_DEVICES).",
        )
    return devices.wanted(device, processes, names)


def ask_gpus() -> None:
    """Ask for the GPUs now, so that nobody waits for the answer with the queue's lock in hand."""
    if _may_have_gpu():
        _known_gpus()


_latest: list[dict[str, str]] = []


def _known_gpus() -> list[dict[str, str]]:
    """The GPUs that are here: if nvidia-smi does not answer once, those that it named before."""
    _latest[:] = _gpus_lately(int(time.monotonic() / _FRESH)) or _latest
    return _latest


def place_of(preset: Preset) -> Place:
    """Where `preset` would run, as far as it can be told from outside: the engine asks torch.

    Raises:
        LoraTuiError: it asks for a backend that is not installed, or a GPU that is not there.
    """
    backend = choose_backend(preset)
    name = _gpu_of(preset.engine.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not name:
        return Place(Platform(backend, "cpu", cpu_has_bfloat16()), hardware.free_memory())
    try:
        gpu = _gpus_lately(int(time.monotonic() / _FRESH))[int(name)]
        used, total = (int(gpu[field]) << 20 for field in ("memory.used", "memory.total"))
        bfloat16 = float(gpu["compute_cap"]) >= _AMPERE
    except (IndexError, ValueError):  # no nvidia-smi, a GPU by its UUID, or one split with MIG
        return Place(Platform(backend, "cuda", bfloat16=True))
    return Place(Platform(backend, "cuda", bfloat16), total - used)


def _gpu_of(device: str, visible: str | None) -> str:
    """The GPU that `device` is, the first of several, as CUDA_VISIBLE_DEVICES calls it; or "".

    Raises:
        LoraTuiError: it asks for a GPU that is not there.
    """
    name = visible_gpus(device, visible)
    if name and _may_have_gpu():
        return name
    if device.startswith("cuda"):
        raise no_gpu(device)
    return ""


@lru_cache(maxsize=1)
def _gpus_lately(_: int) -> list[dict[str, str]]:
    """Asked at most once in a few seconds: nvidia-smi is slow, and forms ask at every key."""
    return gpus()


def _may_have_gpu() -> bool:
    """Whether torch could see a GPU: it is no CPU build, and a driver is there."""
    return _is_torch_for_gpus() and any(Path(path).exists() for path in _DEVICES)


@lru_cache(maxsize=1)
def _is_torch_for_gpus() -> bool:
    try:
        return not importlib.metadata.version("torch").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return False


def refuse(preset: Preset, platform: Platform | None = None) -> None:
    """Make sure that this machine can do what `preset` says, before anything is started.

    `platform` is where it is going to run, if that is not here.

    Raises:
        BadInput: it cannot; every key is named.
    """
    here = place_of(preset).platform if platform is None else platform
    found = refusals(preset, here)
    if platform is None and here.on_gpu and not found:
        wanted_devices(preset, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if found:
        raise BadInput(
            "This preset cannot run here as it is written:\n"
            + "\n".join(f"  {line}" for line in found),
            "Change these keys; nothing was started.",
        )
