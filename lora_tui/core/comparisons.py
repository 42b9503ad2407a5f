"""The comparisons, merges and sweeps made before: which there are, of what, how each ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_tui.core import events, locations, runs, states, sweeps
from lora_tui.core.events import figure
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.core.sweeps import Sweep


@dataclass(frozen=True, slots=True)
class Earlier:
    """A comparison, merge or sweep in a line: of whom, when it began, how it stands."""

    run: Run
    names: tuple[str, ...]
    created: float | None
    state: str
    kind: str = "compare"


def state_of(telling: str | None, *, alive: bool) -> str:
    """How one stands; it has no steps, so one that lives and is not stopped is running.

    One that was asked to stop and is gone was stopped: it saves nothing that it could lose.
    """
    if alive and telling not in events.FINAL:
        return "stopping" if telling == "stopping" else "running"
    return "stopped" if telling == "stopping" else states.state_of(telling, alive=alive)


def members_of(run: Run) -> list[Member]:
    """Who is compared or merged, without the bases: `run.json` says it before the engine does."""
    options = runs.read_info(run).get("options")
    found = options.get("members") if isinstance(options, Mapping) else None
    return [Member.from_document(one) for one in found or [] if _is_member(one)]


def _is_member(document: Any) -> bool:
    return isinstance(document, Mapping) and set(Member.__slots__) <= set(document)


def earlier(most: int = 200) -> list[Earlier]:
    """The latest of all, newest first; no merge whose members its files do not tell."""
    found = [
        _read(run, kind)
        for kind in ("compare", "merge")
        for run in runs.list_runs(locations.jobs_folder(kind))[:most]
        if kind == "compare" or members_of(run)
    ]
    found += map(_of_sweep, sweeps.list_sweeps()[:most])
    return sorted(found, key=lambda one: one.created or 0.0, reverse=True)[:most]


def _of_sweep(sweep: Sweep) -> Earlier:
    return Earlier(Run(sweep.path), (sweep.name,), sweep.created, sweeps.state_of(sweep), "sweep")


def _read(run: Run, kind: str) -> Earlier:
    alive = runs.is_alive(run)  # asked before reading, so no last line is missed
    telling: str | None = None
    for event in events.read_ends(run.events)[1]:
        telling = states.told(telling, event["kind"])
    info = runs.read_info(run)
    names = tuple(member.name for member in members_of(run))
    if telling is None and run.events.exists():
        telling = "launched"  # far from the end of a long file
    created, state = figure(info.get("created")), state_of(telling, alive=alive)
    return Earlier(run, names or (run.id,), created, state, kind)
