"""Results on disk, whole or absent: written aside, then renamed."""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import sync

_EXCHANGE = 2  # renameat2's flag
_HERE = -100  # AT_FDCWD: names are as they always are


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
    new = beside(place)
    missing = [folder for folder in place.parents if not folder.exists()]
    new.mkdir(parents=True)
    handle = os.open(new, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield new
        if _is_gone(new, handle):
            raise FileNotFoundError(errno.ENOENT, "It was removed meanwhile", str(new))
        for path in (new, *new.rglob("*")):
            sync(path)
        _swap(new, place)
        for path in missing:
            sync(path.parent)
    except BaseException:
        gone = _is_gone(new, handle)
        shutil.rmtree(new, ignore_errors=True)
        if gone:
            _remove_empty(new.parent)
        raise
    finally:
        os.close(handle)


def _is_gone(new: Path, handle: int) -> bool:
    """Whether another folder stands there, or none: `new` was removed, with what it lay in.

    Libraries make the folders that they write into, where they miss them.
    """
    return not (new.exists() and os.path.samestat(new.stat(), os.fstat(handle)))


def _remove_empty(folder: Path) -> None:
    """Remove what a library made anew of folders that a user removed."""
    with suppress(OSError):  # not empty, or not there
        folder.rmdir()
        _remove_empty(folder.parent)


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
    new = beside(place.resolve())
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
    """Put `new` where `place` is: at one stroke, or with the old one kept until it stands."""
    old = _old(place)
    shutil.rmtree(old, ignore_errors=True)
    if not place.exists():
        new.rename(place)
    elif _exchanged(new, place):
        old = new
    else:
        place.rename(old)
        try:
            new.rename(place)
        except BaseException:
            recover(place)
            raise
    sync(place.parent)  # before the old one goes for good
    shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change names; False where the file system or the C library cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one), os.fsencode(other)
    return rename is not None and rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0


def _old(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def beside(place: Path) -> Path:
    """Where what is to take its place is written."""
    return place.with_name(f".{place.name}.new")
