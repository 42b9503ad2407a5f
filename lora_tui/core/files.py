"""Writing files so that they are whole or absent, and names that are safe to use as file names."""

import itertools
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path


def private_folder(path: Path) -> Path:
    """Create `path` (and what lies above it) readable by the user alone, and return it."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)
    return path


def write_atomically(path: Path, text: str) -> None:
    """Replace `path` by `text`: a reader, or a crash, sees the old file or the new, never a part.

    Raises:
        OSError: the folder cannot be written or the disk is full; the old file is untouched.
    """
    handle, aside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    sync(path.parent)


def sync(path: Path) -> None:
    """Make a file's bytes, or the renames in a folder, survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def size_of(path: Path) -> int:
    """Bytes in a folder, or of a file; 0 where nothing is."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


_LONGEST_NAME = 48


def slug(name: str) -> str:
    """The only way a user's name becomes a file name: lower case letters, digits, `-`, `_`, `.`."""
    plain = re.sub(r"[^a-z0-9_.]+", "-", name.lower()).strip("-.")[:_LONGEST_NAME].rstrip("-.")
    return plain or "unnamed"


def free_name(wanted: str, is_taken: Callable[[str], bool]) -> str:
    """`wanted`, or `wanted-2` and so on: the first whose slug is not taken.

    A long name is cut before its number, which `slug` would cut off again.
    """

    def numbered(number: int) -> str:
        end = f"-{number}"
        return f"{wanted[: _LONGEST_NAME - len(end)]}{end}"

    names = itertools.chain([wanted], map(numbered, itertools.count(2)))
    return next(name for name in names if not is_taken(slug(name)))
