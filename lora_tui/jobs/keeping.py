"""Whether this machine needs its keeper (jobs/keeper.py), and where that one is found."""

from pathlib import Path

from lora_tui.core import locations, queue


def is_needed() -> bool:
    """Whether a run waits for its turn on this machine."""
    return any(ticket.is_ours and not ticket.held for ticket in queue.waiting())


def lock() -> Path:
    """Held by the keeper of this machine while it lives."""
    return locations.home() / "keepers" / f"{locations.machine()}.lock"


def log() -> Path:
    """What the keeper printed: only what went wrong."""
    return lock().with_suffix(".log")
