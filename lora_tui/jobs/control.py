"""Holding a run between two steps, and letting it go on."""

import time

from lora_tui.core import runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline

_LOOK = 0.05


def pause(run: Run) -> None:
    """Ask the engine to wait once its step is done; asked twice, nothing changes.

    Raises:
        LoraTuiError: it is not running, or its folder cannot be written.
    """
    if not runs.is_alive(run):
        raise LoraTuiError(
            f"{run.id} is not running.", f"`lora-tui show {run.id}` tells how it ended."
        )
    try:
        run.pause.touch(mode=0o600)
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} was not paused: {error}.", f"Stop it: lora-tui stop {run.id}"
        ) from error


def go_on(run: Run) -> bool:
    """Let a run go on that waits, or was to wait; whether it was."""
    try:
        run.pause.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} does not go on: {error}.", f"Remove {run.pause} by hand."
        ) from error
    return True


def wait_until_paused(run: Run, seconds: float) -> bool:
    """Whether it waits, or has ended in some way, within `seconds`."""
    deadline = time.monotonic() + seconds
    while runs.is_alive(run) and headline(run).state != "paused":
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True
