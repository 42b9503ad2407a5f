"""How a job without steps ended: its state, and why there is no result."""

from collections.abc import Mapping, Sequence
from typing import Any

from lora_tui.core import comparisons
from lora_tui.core.runs import Run
from lora_tui.core.summary import CRASHED
from lora_tui.tui.log_pages import last_lines

Failure = tuple[str, str]
"""A summary and a hint; both empty while nothing is wrong."""

_GONE = ("Its folder is gone: it was deleted.", "What is shown is kept nowhere else.")


def ending(
    run: Run, telling: str | None, final: Mapping[str, Any], *, kept: str, again: str
) -> tuple[str, Failure]:
    """The state a job ended in, and why there is no result; reads the last lines of its log.

    `telling` and `final` are its latest telling and its final event; `kept` is what a job leaves
    that was stopped, `again` what key starts it anew.
    """
    if not run.path.is_dir():
        return "crashed", _GONE
    state = comparisons.state_of(telling, alive=False)
    words = last_lines(run.log, 3) if state == "crashed" else ()
    return state, _failure(state, final, tuple(words), kept, again)


def _failure(
    state: str, final: Mapping[str, Any], last_words: Sequence[str], kept: str, again: str
) -> Failure:
    if state == "failed":
        return str(final.get("summary") or "It failed."), str(final.get("hint") or "")
    if state == "crashed":
        words = ("The last lines of its log (g shows all):", *last_words) if last_words else ()
        return CRASHED["summary"], "\n".join((again, *words))
    if state == "stopped":
        return f"It was stopped: {kept}.", again
    return "", ""
