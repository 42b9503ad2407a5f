"""How states look: a glyph and a word each, with ASCII twins for terminals that need them."""

import locale
import os
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Look:
    """One state: its glyph, its ASCII twin, and the theme variable of its colour."""

    glyph: str
    ascii: str
    colour: str


STATES = {
    "queued": Look("◌", "o", "$foreground-muted"),
    "starting": Look("●", "*", "$text-primary"),
    "running": Look("●", "*", "$text-primary"),
    "paused": Look("‖", "=", "$text-warning"),
    "stopping": Look("■", "#", "$text-warning"),
    "stopped": Look("■", "#", "$text-warning"),
    "finished": Look("✓", "+", "$text-success"),
    "failed": Look("✗", "x", "$text-error"),
    "crashed": Look("✗", "x", "$text-error"),
}


@cache
def ascii_only() -> bool:
    """Whether to keep to ASCII: by LORA_TUI_ASCII, a linux console, or no UTF-8 locale."""
    if asked := os.environ.get("LORA_TUI_ASCII"):
        return asked != "0"
    return os.environ.get("TERM") == "linux" or "utf" not in locale.getencoding().lower()


def glyph(state: str) -> str:
    """The mark of a run's state."""
    look = STATES[state]
    return look.ascii if ascii_only() else look.glyph


def warning() -> str:
    """The mark of something to know."""
    return "!" if ascii_only() else "▲"


def cursor() -> str:
    """The mark of what is chosen."""
    return ">" if ascii_only() else "▸"
