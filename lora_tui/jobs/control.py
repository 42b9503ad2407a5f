"""What is asked of an engine at work: to stop, to wait between two steps, to go on."""

import os
import platform
import signal
import time
from collections.abc import Callable
from contextlib import suppress

from lora_tui.core import events, locks, runs, slurm
from lora_tui.core import queue as tickets
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import queue
from lora_tui.jobs import slurm as slurm_jobs

_LOOK = 0.05  # seconds


def stop(run: Run) -> None:
    """Send SIGTERM to the engine's process group; it finishes its step, saves and ends.

    That it was asked is written here: an engine that hangs could not say so. A run that waits for
    its turn leaves the queue.

    Raises:
        LoraTuiError: it is not running, or it runs on another machine.
    """
    if queue.cancel(run):
        return
    _signal(run, signal.SIGTERM)
    with suppress(OSError):  # a full disk keeps nobody from stopping
        events.append(run.events, "stopping")


def kill(run: Run) -> None:
    """Send SIGKILL: the run ends now and keeps only what was saved.

    Raises:
        LoraTuiError: as `stop`.
    """
    if queue.cancel(run):
        return
    _require_life(run)
    with suppress(OSError):  # a full disk keeps nobody from killing
        events.append(run.events, "stopping", kill=True)
    _signal(run, signal.SIGKILL)


def pause(run: Run) -> None:
    """Ask the engine to wait once its step is done; asked twice, nothing changes.

    A file asks it, not a signal: it may run on another machine that shares the folder. A run that
    waits for its turn is held in the queue.

    Raises:
        LoraTuiError: it is not running, or its folder cannot be written.
    """
    if tickets.read(run) and queue.hold(run):
        return
    _require_life(run)
    try:
        run.pause.touch(mode=0o600)
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} was not paused: {error}.", f"Stop it: lora-tui stop {run.id}"
        ) from error


def go_on(run: Run) -> bool:
    """Let a run go on that waits, or was to wait; whether it was.

    Raises:
        LoraTuiError: its folder cannot be written.
    """
    try:
        run.pause.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} does not go on: {error}.", f"Remove {run.pause} by hand."
        ) from error
    return True


def release(run: Run) -> bool:
    """Let a run go on that is paused, or held in the queue, or was to be; whether it was.

    Raises:
        LoraTuiError: its folder or the queue cannot be written, or SLURM refuses.
    """
    ticket = tickets.read(run)
    if ticket and ticket.held:
        queue.release(run)
        return True
    return go_on(run)


def toggle_pause(run: Run) -> bool:
    """Pause or hold a run, or let one go on that is or was to be; whether it is to wait now.

    Raises:
        LoraTuiError: it is not at work, or its folder cannot be written.
    """
    if release(run):
        return False
    pause(run)
    return True


def wait_until_dead(run: Run, seconds: float) -> bool:
    """Whether the engine let go of its lock within `seconds`."""
    return _wait(lambda: not runs.is_alive(run), seconds)


def wait_until_paused(run: Run, seconds: float) -> bool:
    """Whether it waits, is held in the queue, or has ended in some way, within `seconds`."""
    return _wait(
        lambda: not runs.is_alive(run) or headline(run).state in {"paused", "queued"}, seconds
    )


def _wait(holds: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK)
    return True


def _require_life(run: Run) -> None:
    if not runs.is_alive(run):
        raise LoraTuiError(
            f"{run.id} is not running.", f"`lora-tui show {run.id}` tells how it ended."
        )


def _signal(run: Run, number: signal.Signals) -> None:
    _require_life(run)
    host, pid = locks.holder(run.lock)
    if pid is None:
        raise LoraTuiError(f"{run.id} did not say its process id.", "End its process by hand.")
    if host != platform.node():
        if slurm_jobs.signal(run, kill=number == signal.SIGKILL):
            return
        raise LoraTuiError(f"{run.id} runs on {host}, not on this machine.", f"Stop it on {host}.")
    slurm.forbid(run)  # or SLURM starts it again
    try:
        os.killpg(pid, number)
    except ProcessLookupError as error:
        raise LoraTuiError(f"{run.id} has just ended.") from error
    except PermissionError as error:
        raise LoraTuiError(f"{run.id} belongs to another user.", "Ask them to stop it.") from error
