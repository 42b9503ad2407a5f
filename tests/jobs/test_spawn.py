"""What engines are started with, told by Linux."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.core import runs
from lora_tui.core.presets import Preset
from lora_tui.jobs.spawn import engine_environment, spawn

_HUGE = """
import ctypes
rows = ctypes.CDLL(None).malloc
rows.restype = ctypes.c_void_p
rows.argtypes = [ctypes.c_size_t]
place = rows(1 << 26)
flags = ""
for line in open("/proc/self/smaps"):
    first = line.split()[0]
    if "-" in first and not first.endswith(":"):
        low, high = (int(part, 16) for part in first.split("-"))
        is_it = low <= place < high
    elif line.startswith("VmFlags:") and is_it:
        flags = line
print(flags)
"""


def gives_large_pages() -> bool:
    """Whether the kernel gives them to who asks, and this C library does."""
    mode = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    is_new = name == "glibc" and tuple(map(int, version.split("."))) >= (2, 35)
    return is_new and mode.exists() and "[madvise]" in mode.read_text("ascii")


def test_engines_ask_for_large_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)

    def flags(environment: dict[str, str] | None) -> list[str]:
        """How the system regards memory that a C program allocates: `hg` asks for large pages."""
        command = [sys.executable, "-c", _HUGE]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert flags(None) and "hg" not in flags(None)
    assert ("hg" in flags(engine_environment())) is gives_large_pages()
    run = runs.create(Preset(name="p"))
    with spawn(run, "train") as engine:
        given = Path(f"/proc/{engine.pid}/environ").read_text("utf-8").split("\0")
        engine.kill()
    assert f"GLIBC_TUNABLES={engine_environment()['GLIBC_TUNABLES']}" in given
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.hugetlb=0")
    assert "hg" not in flags(engine_environment()), "the user's own choice counts"
