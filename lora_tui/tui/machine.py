"""The machine in one line for the title bar: asked in a worker, and never of torch."""

import shutil

from lora_tui.core import hardware, locations, text
from lora_tui.tui.columns import dot


def facts() -> str:
    """GPU memory and load where there is a GPU, else cores and memory; and the free disk."""
    return dot().join(part for part in (_gpu() or _cpu(), _disk()) if part)


def _gpu() -> str:
    if shutil.which("nvidia-smi") is None:
        return ""
    from lora_tui.jobs.doctor import gpus

    try:
        found = gpus()
        used = sum(float(one["memory.used"]) for one in found) * 2**20
        total = sum(float(one["memory.total"]) for one in found) * 2**20
        load = sum(float(one["utilization.gpu"]) for one in found) / max(1, len(found))
    except (OSError, ValueError, KeyError):
        return ""  # a GPU split with MIG answers [N/A]
    if not found:
        return ""
    name = text.one_line(found[0]["name"]).removeprefix("NVIDIA ")
    count = f"{len(found)} x " if len(found) > 1 else ""
    return dot().join([f"{count}{name}", _of(used, total), f"{load:.0f}%"])


def _cpu() -> str:
    cores = hardware.usable_cores()
    parts = [f"{cores} {'core' if cores == 1 else 'cores'}"]
    if found := hardware.memory():
        free, total = found
        parts.append(_of(total - free, total))
    return dot().join(parts)


def _of(used: float, total: float) -> str:
    return f"{used / 1e9:.1f}/{total / 1e9:.3g} GB"


def _disk() -> str:
    try:
        return f"disk {text.size(hardware.free_disk(locations.home()))}"
    except OSError:
        return ""
