"""Folders that something is to be written into: what is wrong with them, before anything is."""

import os
from pathlib import Path


def unusable(folder: Path) -> str | None:
    """Why nothing can be written there, in a sentence; the folder need not be there yet."""
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        if not nearest.is_dir():
            return f"{nearest} is a file."
    except (OSError, RuntimeError, ValueError, StopIteration) as error:
        return f"{folder} cannot be looked at: {error}."
    if not os.access(nearest, os.W_OK | os.X_OK):
        return f"Nothing can be written in {nearest}: it is read-only for you."
    return None
