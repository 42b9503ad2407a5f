"""The machine in one line for the title bar: asked in a worker, and never of torch."""

import os
import shutil
from pathlib import Path

from lora_tui.core import locations, text
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
    try:
        cores = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # not Linux
        cores = os.cpu_count() or 1
    parts = [f"{cores} {'core' if cores == 1 else 'cores'}"]
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        parts.append(_of(sizes["MemTotal"] - sizes["MemAvailable"], sizes["MemTotal"]))
    except (OSError, ValueError, IndexError, KeyError):
        pass  # not Linux
    return dot().join(parts)


def _of(used: float, total: float) -> str:
    return f"{used / 1e9:.1f}/{total / 1e9:.3g} GB"


def _disk() -> str:
    home = locations.home()
    try:
        existing = next(path for path in (home, *home.parents) if path.exists())
        return f"disk {text.size(shutil.disk_usage(existing).free)}"
    except OSError:
        return ""
