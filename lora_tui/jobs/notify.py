"""Telling the user by a command of their own that a run ended, or that the GPU stands idle.

The command is a process of its own with the facts in its environment: nothing that comes from a
model, a data set or a name is ever part of what the shell reads.
"""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_tui.core import config, events, locations, states, summary
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.text import one_line

_AT_MOST = 60  # seconds
_LONGEST = 2000
_NAMES = (
    *("EVENT", "RUN", "NAME", "STATE", "STEP", "MAX_STEPS", "LOSS", "EVAL_LOSS"),
    *("SUMMARY", "HINT", "PATH"),
)
"""What the command finds in its environment, each after LORA_TUI_; empty where nobody knows."""

IDLE = "The GPU has been idle for {} minutes."
IDLE_HINT = "No run is at work: start the next, or give the machine back."


def is_wanted() -> bool:
    """Whether the user has a command for it; a broken file is a reason to say so, in the log."""
    try:
        return bool(config.load().notify.command.strip())
    except LoraTuiError:
        return True


def ended(run: Run) -> None:
    """Run the user's command for a run that is at work no more; never raises.

    One that is at work again, or waits to be, is told when it ends.
    """
    _tell(lambda: _facts(run))


def idle(minutes: int) -> None:
    """Run the user's command for a GPU that stands idle; never raises."""
    said = {"EVENT": "idle", "SUMMARY": IDLE.format(minutes), "HINT": IDLE_HINT}
    _tell(lambda: said)


def event_of(state: str, final: Mapping[str, Any]) -> str:
    """What happened in one word: the state it ended in, or that it diverged."""
    return str(final.get("cause") or state) if state == "failed" else state


def log() -> Path:
    """What the commands printed."""
    return locations.home() / "notify.log"


def _facts(run: Run) -> dict[str, object]:
    shown = summary.show(run)
    state, failure = str(shown["state"]), shown["failure"] or {}
    if state not in states.ENDED:
        return {}
    failed = [one for one in events.read_ends(run.events)[1] if one["kind"] == "failed"]
    return {
        "EVENT": event_of(state, failed[-1] if failed else {}),
        "RUN": run.id,
        "NAME": shown["name"],
        "STATE": state,
        "STEP": shown["step"],
        "MAX_STEPS": shown["max_steps"],
        "LOSS": shown["loss"]["last"],
        "EVAL_LOSS": shown["eval_loss"]["last"],
        "SUMMARY": failure.get("summary"),
        "HINT": failure.get("hint"),
        "PATH": run.path,
    }


def _tell(facts: Callable[[], Mapping[str, object]]) -> None:
    """Run the command, if there is one; what keeps it from running is in the log."""
    try:
        command = config.load().notify.command.strip()
        if command and (known := facts()):
            _start(command, known)
    except Exception as error:  # whoever calls this has runs to look after
        with suppress(OSError), log().open("a") as said:
            said.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} Nobody was told: {error}\n")


def _start(command: str, facts: Mapping[str, object]) -> None:
    environment: dict[str, str | bytes] = {
        **os.environ,
        "LORA_TUI_HOME": str(locations.home()),
        **{f"LORA_TUI_{name}": _value(facts.get(name)) for name in _NAMES},
    }
    with log().open("ab") as output:
        teller = subprocess.Popen(
            ["timeout", "-k", "5", str(_AT_MOST), "sh", "-c", command],
            cwd=locations.home(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it outlives whoever started it
            env=environment,
        )
    threading.Thread(target=teller.wait, daemon=True).start()  # no zombie when it ends


def _value(fact: object) -> bytes:
    """A fact as a variable holds it: one line, no control characters; a path is as it is."""
    if isinstance(fact, Path):
        return os.fsencode(fact)
    return b"" if fact is None else one_line(str(fact))[:_LONGEST].encode()
