"""The run's lock: "alive" means "lock held", so the engine makes sure that it is."""

import fcntl
import os

from lora_tui.core import locks
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run


def hold(run: Run) -> None:
    """Hold the run's lock until this process ends.

    Whoever starts the engine takes the lock and lets it inherit the descriptor; started by hand,
    the engine takes it itself.

    Raises:
        LoraTuiError: another engine holds it.
    """
    handle = os.open(run.lock, os.O_RDWR | os.O_CREAT, 0o600)
    if _is_inherited(handle):
        locks.sign(handle, os.getpgrp())  # whoever started it may have died before signing
        os.close(handle)
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise LoraTuiError(
            f"{run.id} is already running.", f"Follow it: lora-tui watch {run.id}"
        ) from error
    locks.sign(handle, os.getpgrp())
    os.set_inheritable(handle, True)  # by the processes that share the run


def _is_inherited(handle: int) -> bool:
    """Whether another descriptor of this process is the same file."""
    mine = os.fstat(handle)
    for number in range(1024):
        try:
            other = os.fstat(number)
        except OSError:
            continue
        if number == handle:
            continue
        if (other.st_dev, other.st_ino) == (mine.st_dev, mine.st_ino):
            return True
    return False
