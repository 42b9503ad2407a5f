"""What a CPU's heap holds at the end of each forward pass of a run directory.

    python -m benchmarks.heap RUN OUT

Needs glibc 2.33 or newer, which tells.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from benchmarks.engines import train_watched

STEPS = 6


class Mallinfo(ctypes.Structure):
    """glibc's `struct mallinfo2`: bytes, but for the numbers of chunks."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def heap() -> tuple[int, int]:
    """Bytes in use, and bytes that are free but still the process's: holes."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Mallinfo
    told = ask()
    return told.uordblks + told.hblkhd, told.fordblks


def by_step(trainer: Any, fit: Callable[[], None]) -> list[tuple[int, int]]:
    """What the heap held before each backward pass."""
    found, back = [], trainer.accelerator.backward

    def backward(*args: Any, **kwargs: Any) -> None:
        found.append(heap())
        back(*args, **kwargs)

    trainer.accelerator.backward = backward
    fit()
    return found


if __name__ == "__main__":
    train_watched(by_step)
