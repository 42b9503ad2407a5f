"""Runs take turns: whoever queues one starts what can start; a keeper goes on with the rest."""

import os
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from lora_tui.core import devices, events, locks, preset_files, queue, runs, sweeps
from lora_tui.core.devices import Taken, Wanted
from lora_tui.core.errors import LoraTuiError
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
        LoraTuiError: it cannot be queued or started; it is not in the queue then.
    """
    with queue.locked():
        queue.join(run, verb)
        try:
            _start_what_can(mine=run)
        except BaseException:
            with suppress(LoraTuiError):
                queue.leave(run)
            raise
    keep_going()
    return queue.read(run) is None


def dispatch() -> None:
    """Start everything that waits here and can start now, in its order.

    Raises:
        LoraTuiError: the queue cannot be used.
    """
    with queue.locked():
        _start_what_can()


def _start_what_can(mine: Run | None = None) -> None:
    """One pass over the queue; who holds its lock may do this.

    A run that cannot start has failed, and the rest goes on; `mine` is told by an exception.
    """
    reserved: set[str] = set()
    for ticket in queue.waiting():
        if not ticket.is_ours or ticket.held:
            continue
        try:
            if not _is_stale(ticket):
                preset = _preset(ticket.run, _written(ticket.run))
                wanted = machine.wanted_devices(preset, ticket.visible)
                if not _start(ticket, wanted, reserved):
                    # A run of many GPUs comes to its turn only if those behind it leave it some.
                    reserved.update(wanted.names if wanted.number > 1 else ())
                    continue
            queue.leave(ticket.run)
        except LoraTuiError as error:
            if ticket.run == mine:
                raise
            _fail(ticket.run, error)


@lru_cache(maxsize=1000)
def _preset(run: Run, _written: int) -> Preset:
    """What is to run; parsed once, or a hundred that wait keep a keeper busy."""
    return preset_files.load(run.preset)


def _written(run: Run) -> int:
    try:
        return run.preset.stat().st_mtime_ns
    except OSError:  # loading it says so
        return 0


def _start(ticket: Ticket, wanted: Wanted, reserved: set[str]) -> bool:
    """Start the engine of a run if devices are free for it; whether they were.

    Raises:
        LoraTuiError: it cannot be started.
    """
    try:
        taken = devices.take(wanted, reserved, ticket.run)
    except OSError as error:
        raise LoraTuiError(
            f"No device can be taken: {error}.", "Is there room in LORA_TUI_HOME?"
        ) from error
    if taken is None:
        return False
    try:
        ticket.run.pause.unlink(missing_ok=True)
        environment = _sees(ticket, wanted, taken)
        spawn(ticket.run, ticket.verb, environment=environment, inherited=taken.handles)
    finally:
        taken.close()
    return True


def _sees(ticket: Ticket, wanted: Wanted, taken: Taken) -> dict[str, str]:
    """The variable that lets an engine see its GPUs alone."""
    if wanted.is_named or taken.names == (devices.CPU,):
        return {} if ticket.visible is None else {"CUDA_VISIBLE_DEVICES": ticket.visible}
    return {"CUDA_VISIBLE_DEVICES": ",".join(taken.names)}


def _is_stale(ticket: Ticket) -> bool:
    """Whether the run was started on this ticket, and who did it died before removing it."""
    if runs.is_alive(ticket.run):
        return True
    since, _ = events.read_new(ticket.run.events, ticket.since)
    return any(event["kind"] == "launched" for event in since)


def _fail(run: Run, error: LoraTuiError) -> None:
    with suppress(OSError, LoraTuiError):
        step = headline(run).step
        events.append(run.events, "failed", summary=error.summary, hint=error.hint, step=step)
    with suppress(LoraTuiError):
        queue.leave(run)


def hold(run: Run) -> None:
    """Let a run wait until it is released; those behind it go on.

    Raises:
        LoraTuiError: it does not wait, or the disk did not take it.
    """
    _set_held(run, held=True)


def release(run: Run) -> bool:
    """Let a held run take its turn again; whether it was started at once.

    Raises:
        LoraTuiError: it does not wait, or the disk did not take it.
    """
    _set_held(run, held=False)
    dispatch()
    keep_going()
    return queue.read(run) is None


def _set_held(run: Run, *, held: bool) -> None:
    with queue.locked():
        ticket = queue.read(run)
        if ticket is None:
            raise LoraTuiError(f"{run.id} does not wait.", "`lora-tui queue` lists what does.")
        queue.write(replace(ticket, held=held))
    slurm.hold(run, held=held)


def move(run: Run, place: int) -> None:
    """Let a run that waits be at `place` in the queue, from 1 on.

    Raises:
        LoraTuiError: it does not wait, or the disk did not take it.
    """
    with queue.locked():
        queue.move(run, place)


def shift(run: Run, by: int) -> None:
    """Let a run that waits start so many places later, or earlier.

    Raises:
        LoraTuiError: as `move`.
    """
    with queue.locked():
        order = [ticket.run for ticket in queue.waiting()]
        if run in order:
            queue.move(run, max(1, order.index(run) + 1 + by))


def cancel(run: Run) -> bool:
    """Take a run out of the queue: it is stopped, and can be resumed; whether it was waiting.

    Raises:
        LoraTuiError: its folder cannot be written.
    """
    with queue.locked():
        ticket = queue.read(run)
        if ticket is None:
            return False
        queue.leave(run)
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
