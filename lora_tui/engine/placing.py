"""Results on disk, whole or absent: written aside, then renamed."""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import sync


@contextmanager
def aside(place: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of `place` when all in it is on disk.

    A crash leaves the old result or the new, never a part; a failure leaves the old one alone.

    Raises:
        LoraTuiError: another process writes there now, or a disk is mounted there.
        OSError: the disk is full, or the folder may not be written.
    """
    place = place.resolve()  # of a link, what it points to
    if os.path.ismount(place):  # the only folder that no rename can replace
        raise LoraTuiError(
            f"{place} is where a disk is mounted: nothing can take its place.",
            "Name a folder in it.",
        )
    remove_stale(place)
    recover(place)
    new = _new(place)
    new.mkdir(parents=True)
    handle = os.open(new, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield new
        for path in new.rglob("*"):
            sync(path)
        _swap(new, place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        os.close(handle)


def recover(place: Path) -> None:
    """Put the old result back where a crash came between the two renames of `_swap`.

    Not while another process writes there: `remove_stale` tells.
    """
    place = place.resolve()
    if (old := _old(place)).exists() and not place.exists():
        old.rename(place)


def remove_stale(place: Path) -> None:
    """Remove what a killed process left half-written beside `place`.

    Raises:
        LoraTuiError: a process that lives writes there.
    """
    new = _new(place.resolve())
    try:
        handle = os.open(new, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(new, ignore_errors=True)
    except BlockingIOError as error:
        raise LoraTuiError(
            f"Another job is writing {place} just now.", "Wait until it has ended, or stop it."
        ) from error
    finally:
        os.close(handle)


def _swap(new: Path, place: Path) -> None:
    """Put `new` where `place` is, keeping the old one until the new one stands."""
    old = _old(place)
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        recover(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _new(place: Path) -> Path:
    return place.with_name(f".{place.name}.new")
