"""Runs take turns: whoever queues one starts what can start; a keeper goes on with the rest."""

import os
import platform
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from lora_tui.core import devices, events, locks, preset_files, queue, queue_order, runs, sweeps
from lora_tui.core.devices import Taken, Wanted
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.files import private_folder
from lora_tui.core.presets import Preset
from lora_tui.core.queue import Ticket
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import keeping, machine, notify, slurm
from lora_tui.jobs.spawn import spawn


def submit(run: Run, verb: str) -> bool:
    """Queue a run, and start it at once where a device is free; whether it was started.

    Raises:
        LoraTuiError: it cannot be queued or started, or nobody would start it later; it is not in
            the queue then.
    """
    machine.ask_gpus()
    with queue.locked():
        queue.join(run, verb)
        try:
            _start_what_can(mine=run)
        except BaseException:
            with suppress(LoraTuiError):
                queue.leave(run)
            raise
    waits = queue.read(run) is not None
    try:
        keep_going()
    except LoraTuiError:
        if waits:  # what was started goes on without a keeper
            queue.leave(run)
            raise
    return not waits


def dispatch() -> None:
    """Start everything that waits here and can start now, in its order.

    Raises:
        LoraTuiError: the queue cannot be used, or this machine could not start a run; it waits on.
    """
    machine.ask_gpus()
    with queue.locked():
        _start_what_can()


def _start_what_can(mine: Run | None = None) -> None:
    """One pass over the queue; who holds its lock may do this.

    What its own preset keeps from starting has failed, what this machine keeps from starting waits
    on, and the rest goes on. `mine` is told by an exception, whatever it is.
    """
    reserved: set[str] = set()
    hindered: LoraTuiError | None = None
    for ticket in queue.waiting():
        if not ticket.is_ours or ticket.held:
            continue
        try:
            is_done = _is_stale(ticket) or _start(ticket, reserved)
        except LoraTuiError as error:
            if ticket.run == mine:
                raise
            if isinstance(error, BadInput):
                _fail(ticket.run, error)
            else:
                hindered = error
            continue
        if is_done:
            with suppress(LoraTuiError):  # then it is stale in the next pass
                queue.leave(ticket.run)
    if hindered and mine is None:
        raise hindered


@lru_cache(maxsize=1000)
def _preset(run: Run, _written: int) -> Preset:
    """What is to run; parsed once, or a hundred that wait keep a keeper busy."""
    return preset_files.load(run.preset)


def _written(run: Run) -> int:
    try:
        return run.preset.stat().st_mtime_ns
    except OSError:  # loading it says so
        return 0


def _start(ticket: Ticket, reserved: set[str]) -> bool:
    """Start the engine of a run if devices are free for it; whether they were.

    Raises:
        BadInput: it can never be started as it is.
        LoraTuiError: it cannot be started now.
    """
    preset = _preset(ticket.run, _written(ticket.run))
    wanted = machine.wanted_devices(preset, ticket.visible)
    try:
        taken = devices.take(wanted, reserved, ticket.run)
        if taken is None:
            # A run of many GPUs comes to its turn only if those behind it leave it some.
            reserved.update(wanted.names if wanted.number > 1 else ())
            return False
        try:
            ticket.run.pause.unlink(missing_ok=True)
            environment = {"CUDA_VISIBLE_DEVICES": _seen(ticket, wanted, taken)}
            spawn(ticket.run, ticket.verb, environment=environment, inherited=taken.handles)
        finally:
            taken.close()
    except OSError as error:
        raise LoraTuiError(
            f"{ticket.run.id} cannot be started: {error}.", "Is there room in LORA_TUI_HOME?"
        ) from error
    return True


def _seen(ticket: Ticket, wanted: Wanted, taken: Taken) -> str | None:
    """CUDA_VISIBLE_DEVICES for an engine: its GPUs alone, or as it was where it was queued."""
    if wanted.is_named or taken.names == (devices.CPU,):
        return ticket.visible
    return ",".join(taken.names)


def _is_stale(ticket: Ticket) -> bool:
    """Whether the run was started on this ticket, and who did it died before removing it."""
    if runs.is_alive(ticket.run):
        return True
    since, _ = events.read_new(ticket.run.events, ticket.since)
    return any(event["kind"] == "launched" for event in since)


def _fail(run: Run, error: LoraTuiError) -> None:
    with suppress(OSError, LoraTuiError):
        if queue.leave(run):  # else it is being deleted
            step = headline(run).step
            events.append(run.events, "failed", summary=error.summary, hint=error.hint, step=step)


def hold(run: Run) -> bool:
    """Let a run wait until it is released, and those behind it go on; whether it was waiting.

    Raises:
        LoraTuiError: the disk did not take it, or SLURM refuses.
    """
    return _set_held(run, held=True)


def release(run: Run) -> bool:
    """Let a held run take its turn again; whether it was started at once.

    One that waited for another machine waits for this one from now on.

    Raises:
        LoraTuiError: it does not wait, the disk did not take it, or SLURM refuses.
    """
    if not _set_held(run, held=False):
        raise BadInput(f"{run.id} does not wait.", "`lora-tui queue` lists what does.")
    dispatch()
    keep_going()
    return queue.read(run) is None


def _set_held(run: Run, *, held: bool) -> bool:
    with queue.locked():
        ticket = queue.read_surely(run)
        if ticket is None or runs.is_alive(run):
            return False
        host = ticket.host if held or ticket.slurm else platform.node()
        queue.write(replace(ticket, held=held, host=host))
    slurm.hold(run, held=held)
    return True


def move(run: Run, place: int) -> None:
    """Let a run that waits be at `place` in the queue, from 1 on.

    Raises:
        LoraTuiError: it does not wait, or the disk did not take it.
    """
    with queue.locked():
        queue_order.move(run, place)


def shift(run: Run, by: int) -> None:
    """Let a run that waits start so many places later, or earlier.

    Raises:
        LoraTuiError: as `move`.
    """
    with queue.locked():
        order = [ticket.run for ticket in queue.waiting()]
        if run in order:
            queue_order.move(run, max(1, order.index(run) + 1 + by))


def cancel(run: Run) -> bool:
    """Take a run out of the queue: it is stopped, and can be resumed; whether it was waiting.

    Raises:
        LoraTuiError: its folder cannot be written.
    """
    if queue.read(run) is None:  # a run at work is stopped whoever holds the queue's lock
        return False
    with queue.locked():
        ticket = queue.read(run)
        if ticket is None:
            return False
        queue.leave(run)
        if runs.is_alive(run):  # who started it died before its ticket was gone
            return False
        with suppress(OSError):  # for want of room; it does not wait any more, which is what counts
            events.append(run.events, "stopped", step=headline(run).step)
    slurm.cancel(ticket)
    return True


def keep_going() -> None:
    """Start this machine's keeper if one may be needed and none is there; it ends if it is not.

    Raises:
        LoraTuiError: it cannot be started.
    """
    if not (keeping.is_needed() or notify.is_wanted() or sweeps.racing()):
        return
    if locks.is_held(keeping.lock()):
        return
    try:
        folder = private_folder(keeping.lock().parent)
        with keeping.log().open("ab") as log:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "lora_tui.jobs.keeper"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONSAFEPATH": "1"},
            )
        threading.Thread(target=keeper.wait, daemon=True).start()  # no zombie when it ends
    except OSError as error:
        raise LoraTuiError(
            f"Nobody starts what waits: {error}.", "Open the app again later; it tries anew."
        ) from error
