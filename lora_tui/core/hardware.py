"""How much memory and disk are free, asked of the system: no library."""

import os
import shutil
from pathlib import Path

LITTLE_DISK = 5e9
"""Bytes: less than this is worth a warning."""


def memory() -> tuple[int, int] | None:
    """Bytes of memory that are free and that there are; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemAvailable"], sizes["MemTotal"]
    except (OSError, ValueError, IndexError, KeyError):  # not Linux
        return None


def free_memory() -> int | None:
    """Bytes that a new process can take: the machine's, or what its container leaves."""
    if (found := memory()) is None:
        return None
    left = _left_in_container()
    return found[0] if left is None else min(found[0], left)


def _left_in_container() -> int | None:
    """What a memory limit (cgroup v2) leaves; what only caches files can be taken back."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text("ascii"))
        used = int((group / "memory.current").read_text("ascii"))
        lines = (group / "memory.stat").read_text("ascii").splitlines()
        cached = dict(line.split() for line in lines).get("inactive_file", "0")
    except (OSError, ValueError):  # no limit reads "max"
        return None
    return max(0, limit - used + int(cached))


def free_disk(folder: Path) -> int:
    """Bytes free where `folder` is, or will be.

    Raises:
        OSError: the disk cannot be asked.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(existing).free


def usable_cores() -> int:
    """Cores this process may really use: its affinity, and a container's quota where one is set."""
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text("ascii").split()[:2]
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return cores
