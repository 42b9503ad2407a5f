"""The state of a run or another job: what its events and its lock add up to."""

from lora_tui.core.events import FINAL

LIVE = ("starting", "running", "paused", "stopping")
ENDED = ("finished", "stopped", "failed", "crashed")

PAUSABLE = frozenset({"starting", "running", "paused", "queued"})
"""States in which a run can be asked to wait, or to go on."""

STOPPABLE = frozenset({*LIVE, "queued"})
"""States in which a run can be asked to end; one that is queued leaves the queue."""

RESUMABLE = frozenset({"paused", "stopped", "failed", "crashed"})
"""States in which a run can be asked to go on."""

_AT_WORK = frozenset({"step", "eval", "paused", "resumed"})
_TELLING = FINAL | _AT_WORK | {"launched", "stopping"}


def told(before: str | None, kind: str) -> str | None:
    """The event kind that tells the state, after one more event; fold it over a run's events.

    Steps that still come after a request to stop do not make the run running again, and a request
    that comes too late does not undo an end.
    """
    if kind not in _TELLING or (before == "stopping" and kind in _AT_WORK):
        return before
    if kind == "stopping" and before in FINAL:
        return before
    return kind


def state_of(telling: str | None, *, alive: bool, waits: bool = False) -> str:
    """The state that the latest telling event (see `told`), the lock and the ticket add up to."""
    if waits and not alive:
        return "queued"
    if telling in FINAL:
        return str(telling)
    if not alive:
        return "crashed" if telling else "stopped"  # it never began
    return _LIVE_AFTER.get(telling, "running")


_LIVE_AFTER = {None: "starting", "launched": "starting", "stopping": "stopping", "paused": "paused"}
