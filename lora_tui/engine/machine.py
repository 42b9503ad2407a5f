"""What the engine runs on: versions, device, number formats, and the memory it has taken."""

import ctypes
import gc
import os
import platform
import resource
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lora_tui.core import hardware
from lora_tui.core.platforms import cpu_has_bfloat16
from lora_tui.engine import ranks

_LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "unsloth",
    "bitsandbytes",
)


def versions() -> dict[str, str]:
    """Python's version and those of the libraries that decide a run's result."""
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def has_bfloat16(torch: Any, device: str) -> bool:
    """Whether `device` computes in bfloat16 natively."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_bfloat16()


def device_name(torch: Any, device: str) -> str:
    """The device in words, as `run.json` and the model card show it."""
    times = f"{ranks.count()} x " if ranks.count() > 1 else ""
    if device == "cuda":
        return f"{times}cuda ({torch.cuda.get_device_name(0)})"
    return f"{times}cpu ({torch.get_num_threads()} threads)"


def total_memory(torch: Any, device: str) -> int:
    """The memory there is, in bytes: of the GPU, or of the machine."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties(0).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def peak_memory(torch: Any, device: str) -> int:
    """The most memory taken so far: on the GPU by torch, else by this process."""
    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return _own_memory("VmHWM:")


def resident_memory(torch: Any, device: str) -> int:
    """The memory taken now: on the GPU by torch, else by this process."""
    if device == "cuda":
        return int(torch.cuda.memory_reserved())
    return _own_memory("VmRSS:")


def _own_memory(name: str) -> int:
    try:
        # Not getrusage first: its figure is inherited from the process that started this one.
        status = Path("/proc/self/status").read_text("ascii", "replace")
        return int(status.partition(name)[2].split()[0]) * 1024
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak(torch: Any, device: str) -> None:
    """Begin to count the peak anew, where the system allows it."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")  # proc(5): resets VmHWM


def give_back() -> None:
    """Return to the system what nothing here needs any more: glibc keeps it for what may come."""
    gc.collect()
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def free_memory(torch: Any, device: str) -> int | None:
    """Bytes that this process can still take; None where nobody knows."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    return hardware.free_memory()
