"""Which runs wait for their turn: a ticket in the run's own folder, so nothing can disagree.

The order is that of the tickets' positions. Cancelling removes a ticket, deleting the run removes
it too; a move writes one file. Whoever changes the queue holds its lock (`locked`).
"""

import json
import os
import platform
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core import devices, files, locations, locks, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure, whole
from lora_tui.core.runs import Run

_PATIENCE = 30.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A run's place in the queue of one machine."""

    run: Run
    position: float
    verb: str = "train"
    held: bool = False
    host: str
    t: float
    """When it was queued, in unix seconds."""
    since: int = 0
    """How long the run's events were then, in bytes."""
    visible: str | None = None
    """CUDA_VISIBLE_DEVICES of whoever queued it; None where it was not set."""
    slurm: str = ""
    """The id of the SLURM job that is going to start it; empty where this program does."""

    @property
    def order(self) -> tuple[float, float, str]:
        """What the queue is sorted by."""
        return self.position, self.t, self.run.id

    @property
    def is_ours(self) -> bool:
        """Whether it is this machine's to start."""
        return self.host == platform.node() and not self.slurm


@contextmanager
def locked() -> Iterator[None]:
    """Hold the queue's lock: one at a time changes it, or starts what waits.

    Raises:
        LoraTuiError: the folder cannot be written, its file system has no locks, or another holds
            it for longer than a start takes.
    """
    try:
        place = files.private_folder(locations.home()) / "queue.lock"
        handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise LoraTuiError(
            f"The queue cannot be used: {error}.", "Is there room in LORA_TUI_HOME?"
        ) from error
    try:
        try:
            locks.take(handle, _PATIENCE)
        except BlockingIOError as error:
            raise LoraTuiError(
                "Another process has been using the queue for half a minute.",
                f"Is one halted (ctrl+z)? `fuser {place}` names it.",
            ) from error
        except OSError as error:
            raise LoraTuiError(
                f"The queue cannot be locked: {error}.",
                "Set LORA_TUI_HOME to a folder on a file system with locks.",
            ) from error
        yield
    finally:
        os.close(handle)


def read(run: Run) -> Ticket | None:
    """The run's ticket; None where it does not wait, or nobody can tell."""
    try:
        return _read(run)
    except OSError:
        return None


def _read(run: Run) -> Ticket | None:
    """As `read`.

    Raises:
        OSError: it cannot be read at the moment.
    """
    try:
        said = json.loads(run.ticket.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict):
        return None
    visible = said.get("visible")
    return Ticket(
        run=run,
        position=figure(said.get("position")) or 0.0,
        verb="resume" if said.get("verb") == "resume" else "train",
        held=said.get("held") is True,
        host=str(said.get("host") or platform.node()),
        t=figure(said.get("t")) or 0.0,
        since=whole(said.get("since")) or 0,
        visible=visible if isinstance(visible, str) else None,
        slurm=str(said.get("slurm") or ""),
    )


def is_open(run: Run) -> bool:
    """Whether an engine works on the run, or it waits for its turn."""
    # In this order: who starts it takes its lock before the ticket goes.
    return read(run) is not None or runs.is_alive(run)


def waiting() -> tuple[Ticket, ...]:
    """Every ticket in this home that can be read, of whatever machine, in order."""
    try:
        paths = [entry.path for entry in os.scandir(locations.runs_folder())]
    except OSError:
        return ()
    held = [path for path in paths if os.path.exists(f"{path}/queued")]  # noqa: PTH110 - a Path each is slow
    return _in_order(read(Run(Path(path))) for path in held)


def _in_order(found: Iterable[Ticket | None]) -> tuple[Ticket, ...]:
    return tuple(sorted((one for one in found if one is not None), key=lambda one: one.order))


def standing(run: Run) -> str:
    """What a run that waits is waiting for; empty for one that does not."""
    if read(run) is None:
        return ""
    tickets = waiting()
    mine = next((one for one in tickets if one.run == run), None)
    if mine is None:
        return ""
    if mine.slurm:
        return f"SLURM starts it: job {mine.slurm}"
    if mine.held:
        return "held: it starts when it is released"
    before = [
        one for one in tickets[: tickets.index(mine)] if one.host == mine.host and not one.slurm
    ]
    many = sum(1 for one in before if not one.held)
    if many:
        return "1 run starts before it" if many == 1 else f"{many} runs start before it"
    if mine.host != platform.node():
        return f"next to start on {mine.host}"
    at_work = sorted({_named(one) for one in devices.holders().values()})
    return f"next, when {' or '.join(at_work)} ends" if at_work else "next to start"


def _named(run: Run) -> str:
    """A run at work; one that is paused keeps its device all the same."""
    return f"{run.id} (paused)" if run.pause.exists() else run.id


def write(ticket: Ticket) -> None:
    """Put a run into the queue, or change its ticket; whole or not at all.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    said: dict[str, Any] = {
        "position": ticket.position,
        "verb": ticket.verb,
        "held": ticket.held,
        "host": ticket.host,
        "t": ticket.t,
        "since": ticket.since,
    }
    said |= {"visible": ticket.visible} if ticket.visible is not None else {}
    said |= {"slurm": ticket.slurm} if ticket.slurm else {}
    try:
        files.write_atomically(ticket.run.ticket, json.dumps(said))
    except OSError as error:
        raise LoraTuiError(
            f"{ticket.run.id} cannot be queued: {error}.", "Is there room on the disk?"
        ) from error


def read_surely(run: Run) -> Ticket | None:
    """As `read`, for who is going to change the ticket.

    Raises:
        LoraTuiError: it cannot be read at the moment.
    """
    with _told():
        return _read(run)


def everybody() -> tuple[Ticket, ...]:
    """As `waiting`, for who is going to change the order by it.

    Raises:
        LoraTuiError: a ticket cannot be read at the moment, so that the order is not known.
    """
    with _told():
        try:
            paths = [entry.path for entry in os.scandir(locations.runs_folder())]
        except FileNotFoundError:  # no run was ever made
            return ()
        return _in_order(_read(Run(Path(path))) for path in paths)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise LoraTuiError(
            f"The queue cannot be read: {error}.", "Nothing was changed; try again."
        ) from error


def join(run: Run, verb: str, *, slurm: str = "") -> Ticket:
    """Put a run behind all that wait.

    Raises:
        LoraTuiError: the queue cannot be read, or the disk did not take it.
    """
    last = max((one.position for one in everybody()), default=0.0)
    ticket = Ticket(
        run=run,
        position=last + 1,
        verb=verb,
        host=platform.node(),
        t=time.time(),
        since=files.size_of(run.events),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        slurm=slurm,
    )
    write(ticket)
    return ticket


def leave(run: Run) -> bool:
    """Take a run out of the queue; whether it was in it.

    Raises:
        LoraTuiError: its folder cannot be written.
    """
    try:
        run.ticket.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} cannot leave the queue: {error}.", f"Remove {run.ticket} by hand."
        ) from error
    return True
