"""What a terminal is sent so that somebody looks up: its bell, and a desktop notification.

Over SSH these bytes reach the user's own machine, which no other notification does. A terminal that
knows neither OSC 9 nor OSC 777 passes over them.
"""

from collections.abc import Mapping

from lora_tui.core.config import Notify
from lora_tui.core.summary import Headline
from lora_tui.core.text import number, one_line

_BELL = "\a"
_LONGEST = 200
_PLAIN = ("linux", "dumb", "vt1", "vt2")
"""Terminals that might print what they do not know."""

_KNOW_777 = ("xterm-kitty", "xterm-ghostty", "wezterm", "foot", "rxvt")
"""Terminals that know OSC 777: those among them that know OSC 9 too would show it twice."""


def signals(title: str, words: str, how: Notify, environment: Mapping[str, str]) -> str:
    """The bytes that tell `words` under `title`, as far as the user wants them and TERM takes them.

    Args:
        title: What it is about.
        words: What happened; text from anywhere.
        how: What the user wants.
        environment: Tells which terminal it is.
    """
    term = environment.get("TERM", "")
    told = _BELL if how.bell else ""
    if not how.desktop or not term or term.startswith(_PLAIN):
        return told
    title, words = _field(title), _field(words)
    if not term.startswith(_KNOW_777):
        told += _passed(f"\x1b]9;{title}: {words}{_BELL}", environment)
    return told + _passed(f"\x1b]777;notify;{title};{words}{_BELL}", environment)


def ending(line: Headline) -> str:
    """How a run ended, in one sentence."""
    return f"{line.name} {line.state}: {outcome(line)}"


def outcome(line: Headline) -> str:
    """Why a run failed, or how far it came."""
    if line.failure:
        return line.failure["summary"]
    of = f"/{line.max_steps}" if line.max_steps else ""
    return f"step {line.step}{of}, loss {number(line.loss)}"


def _field(text: str) -> str:
    """A text that can neither end its field nor the sequence."""
    return one_line(text).replace(";", ",")[:_LONGEST]


def _passed(sequence: str, environment: Mapping[str, str]) -> str:
    """The sequence as tmux hands it on, where its allow-passthrough is on; else it drops it."""
    if not environment.get("TMUX"):
        return sequence
    doubled = sequence.replace("\x1b", "\x1b\x1b")
    return f"\x1bPtmux;{doubled}\x1b\\"
