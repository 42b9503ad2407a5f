"""What a CPU's heap holds at the end of each forward pass of a run directory.

    python -m benchmarks.heap RUN OUT

Needs glibc 2.33 or newer, which tells.
"""

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

from lora_tui.engine import train

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


def main() -> None:
    """Train, and write what the heap held before each backward pass."""
    run, out = map(Path, sys.argv[1:])
    fit = train.fit

    def watched(trainer: Any, max_steps: int, checkpoint: tuple[int, Path] | None) -> None:
        found, back = [], trainer.accelerator.backward

        def backward(*args: Any, **kwargs: Any) -> None:
            found.append(heap())
            back(*args, **kwargs)

        trainer.accelerator.backward = backward
        fit(trainer, max_steps, checkpoint)
        out.write_text(json.dumps(found), encoding="utf-8")

    train.fit = watched
    sys.exit(train.main(run, resume=False))


if __name__ == "__main__":
    main()
