"""A run's lock: held by the engine while it lives, and signed with who holds it.

flock, not a process id in a file: the kernel lets go of it whatever ends the process, so a reused
id or a `kill -9` cannot deceive.
"""

import fcntl
import os
import platform
import time
from pathlib import Path

_PATIENCE = 2.0  # whoever asks whether the lock is held holds it for a moment


def is_held(path: Path) -> bool:
    """Whether an engine holds the lock now."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def take(handle: int, patience: float | None = None) -> None:
    """Take the lock, waiting so many seconds; else only for those who look whether it is held.

    Raises:
        BlockingIOError: another holds it.
    """
    deadline = time.monotonic() + (_PATIENCE if patience is None else patience)
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def sign(handle: int, group: int) -> None:
    """Write into a lock one holds which machine and process group work under it."""
    os.ftruncate(handle, 0)
    os.pwrite(handle, f"{platform.node()} {group}\n".encode(), 0)


def holder(path: Path) -> tuple[str | None, int | None]:
    """The machine and the process group that signed last; None where nobody did."""
    try:
        host, group = path.read_text("utf-8").split()
    except (OSError, ValueError):
        return None, None
    return host, int(group) if group.isdecimal() and 1 < int(group) < 2**31 else None
