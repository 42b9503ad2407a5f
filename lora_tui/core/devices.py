"""One device, one run: a lock for each GPU, or for the processor, held by the engine on it."""

import fcntl
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lora_tui.core import files, locations, runs
from lora_tui.core.runs import Run

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run computes on: so many of these, as CUDA_VISIBLE_DEVICES names them, or `cpu`."""

    names: tuple[str, ...]
    number: int = 1
    is_named: bool = False
    """Whether the preset itself names the GPU; else the run sees only what it was given."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Devices whose locks this process holds, to be handed to an engine."""

    names: tuple[str, ...]
    handles: tuple[int, ...]

    def close(self) -> None:
        """Let go of them here; an engine that inherited them holds them on."""
        for handle in self.handles:
            os.close(handle)


def take(wanted: Wanted, reserved: Iterable[str], run: Run) -> Taken | None:
    """Lock as many devices as are wanted; None when too few are free.

    Only for who holds the queue's lock: nobody else tries these.

    Raises:
        OSError: the locks cannot be made.
    """
    held: dict[str, int] = {}
    try:
        for name in wanted.names:
            if len(held) == wanted.number:
                break
            if name not in reserved and (handle := _lock(name)) is not None:
                held[name] = handle
        taken = Taken(tuple(held), tuple(held.values()))
        if len(held) < wanted.number:
            taken.close()
            return None
        _forget(run)
        for handle in taken.handles:
            os.ftruncate(handle, 0)
            os.pwrite(handle, run.id.encode(), 0)
    except BaseException:
        Taken((), tuple(held.values())).close()  # or this process would hold them on
        raise
    return taken


def _lock(name: str) -> int | None:
    place = _place(name)
    files.private_folder(place.parent)
    handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException as error:
        os.close(handle)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return handle


def _forget(run: Run) -> None:
    """Take the run's name off the devices that it computed on before."""
    for place in _place("").parent.glob("*.lock"):
        if place.read_text("utf-8", "replace") == run.id:
            place.write_text("")


def holders() -> dict[str, Run]:
    """Which run works on each device of this machine now."""
    folder = _place("").parent
    found: dict[str, Run] = {}
    with suppress(OSError):
        for entry in sorted(os.scandir(folder), key=lambda one: one.name):
            run = Run(locations.runs_folder() / Path(entry.path).read_text("utf-8", "replace"))
            if run.id and runs.is_alive(run):
                found[entry.name.removesuffix(".lock")] = run
    return found


def _place(name: str) -> Path:
    return locations.home() / "devices" / locations.machine() / f"{files.slug(name)}.lock"


def gpu_names(visible: str | None, count: int) -> tuple[str, ...]:
    """What the GPUs here are called: as `visible` (CUDA_VISIBLE_DEVICES) has it, else by number."""
    listed = [name.strip() for name in (visible or "").split(",") if name.strip()]
    return tuple(listed) or tuple(map(str, range(count)))


def wanted(device: str, processes: int, gpus: Sequence[str]) -> Wanted:
    """The devices that may do for `engine.device` and `engine.processes`, of the GPUs there are."""
    if not gpus:
        return Wanted((CPU,))  # all processes of a run share the cores
    if device.startswith("cuda:"):
        return Wanted((gpus[int(device.partition(":")[2])],), is_named=True)
    return Wanted(tuple(gpus), processes)
