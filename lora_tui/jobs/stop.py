"""Asking an engine to stop: it saves a checkpoint and the adapter first."""

import os
import platform
import signal
import time
from contextlib import suppress

from lora_tui.core import events, locks, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run


def stop(run: Run) -> None:
    """Send SIGTERM to the engine's process group; it finishes its step, saves and ends.

    That it was asked is written here: an engine that hangs could not say so.

    Raises:
        LoraTuiError: it is not running, or it runs on another machine.
    """
    _signal(run, signal.SIGTERM)
    with suppress(OSError):  # a full disk keeps nobody from stopping
        events.append(run.events, "stopping")


def kill(run: Run) -> None:
    """Send SIGKILL: the run ends now and keeps only what was saved.

    Raises:
        LoraTuiError: as `stop`.
    """
    _signal(run, signal.SIGKILL)


def wait_until_dead(run: Run, seconds: float) -> bool:
    """Whether the engine let go of its lock within `seconds`."""
    deadline = time.monotonic() + seconds
    while runs.is_alive(run):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _signal(run: Run, number: signal.Signals) -> None:
    if not runs.is_alive(run):
        raise LoraTuiError(
            f"{run.id} is not running.", f"`lora-tui show {run.id}` tells how it ended."
        )
    host, pid = locks.holder(run.lock)
    if pid is None:
        raise LoraTuiError(f"{run.id} did not say its process id.", "End its process by hand.")
    if host != platform.node():
        raise LoraTuiError(f"{run.id} runs on {host}, not on this machine.", f"Stop it on {host}.")
    try:
        os.killpg(pid, number)
    except ProcessLookupError as error:
        raise LoraTuiError(f"{run.id} has just ended.") from error
    except PermissionError as error:
        raise LoraTuiError(f"{run.id} belongs to another user.", "Ask them to stop it.") from error
