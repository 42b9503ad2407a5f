"""A run in one document, as `show --json` prints it; and in one line, as lists show it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_tui.core import advice, events, queue, runs, states
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure, whole
from lora_tui.core.metrics import History, Snapshot
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset, to_document
from lora_tui.core.queue import Ticket
from lora_tui.core.runs import Run
from lora_tui.core.series import Points

CRASHED = {
    "summary": "The engine died without a word: killed from outside, or out of memory.",
    "hint": "`lora-tui resume` goes on from its last checkpoint, if it saved one, else from the "
    "start; engine.log has its last lines.",
}

KILLED = {
    "summary": "Killed, as it was asked to be.",
    "hint": "`lora-tui resume` goes on from its last checkpoint, if it saved one, else from the "
    "start.",
}


def read_snapshot(run: Run) -> Snapshot:
    """Every event of the run, folded."""
    history = History()
    for batch in events.batches(run.events):
        history.fold(batch)
    return history.snapshot()


def show(run: Run) -> dict[str, Any]:
    """The document of `show --json`; figures that are not known are null."""
    ticket = queue.read(run)
    alive = runs.is_alive(run)  # asked before reading, so no last line is missed
    snapshot = read_snapshot(run)
    info = runs.read_info(run)
    state = states.state_of(snapshot.telling, alive=alive, waits=ticket is not None)
    final = snapshot.final or {}
    preset = _preset(run)
    return {
        "id": run.id,
        "name": info.get("name", run.id),
        "kind": info.get("kind", "train"),
        "state": state,
        "held": ticket is not None and ticket.held,
        "slurm": info.get("slurm"),
        "preset": to_document(preset) if preset else None,
        "model": info.get("model"),
        "device": snapshot.fact("started", "device"),
        "backend": snapshot.fact("started", "backend"),
        "created": info.get("created"),
        "ended": final.get("t"),
        "step": snapshot.step,
        "max_steps": snapshot.max_steps,
        "loss": {"first": snapshot.loss_first, "last": snapshot.loss, "min": snapshot.loss_min},
        "eval_loss": {
            "first": snapshot.eval_first,
            "last": snapshot.eval_loss,
            "best": snapshot.eval_best,
        },
        "scores": {name: {"first": a, "last": b} for name, (a, b) in snapshot.scores.items()},
        "elapsed": snapshot.elapsed,
        "data": _data(snapshot),
        "warnings": list(snapshot.warnings),
        "trainable_parameters": snapshot.fact("model", "trainable_parameters"),
        "total_parameters": snapshot.fact("model", "total_parameters"),
        "adapter_bytes": final.get("adapter_bytes"),
        "model_bytes": final.get("model_bytes"),
        "peak_memory_bytes": final.get("peak_memory_bytes", snapshot.memory_bytes),
        "seconds_per_step": final.get("seconds_per_step", snapshot.seconds_per_step),
        "tokens_per_second": final.get("tokens_per_second", snapshot.tokens_per_second),
        "failure": failure(state, snapshot),
        "advice": [one.document() for one in advice.of_run(preset, snapshot)],
        "paths": paths(run),
    }


def failure(state: str, snapshot: Snapshot) -> dict[str, str] | None:
    """Why a run failed or crashed, and what to do; None for any other state."""
    if state == "failed":
        final = snapshot.final or {}
        return {"summary": str(final.get("summary", "")), "hint": str(final.get("hint", ""))}
    if state != "crashed":
        return None
    was_asked = snapshot.telling == "stopping" and snapshot.fact("stopping", "kill") is True
    return KILLED if was_asked else CRASHED


def _data(snapshot: Snapshot) -> dict[str, Any]:
    """What became of the rows; empty before they are read."""
    names = (
        "source",
        "format",
        "columns",
        "rows",
        "read",
        "kept",
        "eval_rows",
        "dropped",
        "broken",
    )
    said = snapshot.facts.get("data", {})
    return {name: said[name] for name in names if name in said}


def _preset(run: Run) -> Preset | None:
    try:
        return load(run.preset)
    except LoraTuiError:
        return None


def paths(run: Run) -> dict[str, str | None]:
    """Where the run's files are; null for what there is not."""
    named = {
        "run": run.path,
        "events": run.events,
        "log": run.log,
        "adapter": run.adapter,
        "model": run.model,
        "checkpoints": run.checkpoints,
    }
    return {name: str(path) if path.exists() else None for name, path in named.items()}


@dataclass(frozen=True, slots=True)
class Headline:
    """A run in one line, read from both ends of its events and a few places between."""

    run: Run
    name: str
    state: str
    step: int
    max_steps: int | None
    loss: float | None
    curve: Points
    created: float | None
    elapsed: float | None
    failure: dict[str, str] | None
    ticket: Ticket | None = None
    """Its place in the queue, while it waits."""

    @property
    def is_live(self) -> bool:
        """Whether an engine works on it now."""
        return self.state in states.LIVE

    def document(self) -> dict[str, Any]:
        """What `runs --json` says of it."""
        names = ("name", "state", "step", "max_steps", "created", "elapsed", "failure")
        figures = {name: getattr(self, name) for name in names}
        return {
            "id": self.run.id,
            **figures,
            "held": self.ticket is not None and self.ticket.held,
            "loss": {"last": self.loss},
            "path": str(self.run.path),
        }


def headline(run: Run, *, points: int = 12) -> Headline:
    """The line of one run, in time that does not grow with the length of its events."""
    info = runs.read_info(run)
    ticket = queue.read(run)
    alive = runs.is_alive(run)  # asked before reading, so no last line is missed
    head, tail = events.read_ends(run.events)
    history = History()
    history.fold(head)
    if tail is not head:
        history.fold(tail)
    snapshot = history.snapshot()
    state = states.state_of(snapshot.telling, alive=alive, waits=ticket is not None)
    return Headline(
        run=run,
        name=str(info.get("name") or run.id),
        state=state,
        step=snapshot.step,
        max_steps=snapshot.max_steps,
        loss=snapshot.loss,
        curve=snapshot.curves["loss"] if tail is head else _sampled(run, points),
        created=figure(info.get("created")),
        elapsed=_elapsed(info, snapshot),
        failure=failure(state, snapshot),
        ticket=ticket if state == "queued" else None,
    )


def _elapsed(info: Mapping[str, Any], snapshot: Snapshot) -> float | None:
    """Seconds that engines worked on it; `run.json` knows of launches far from both ends."""
    spent, launched = figure(info.get("spent")), figure(info.get("launched"))
    if spent is None or launched is None or snapshot.updated is None:
        return snapshot.elapsed
    return spent + max(0.0, snapshot.updated - launched)


def _sampled(run: Run, points: int) -> Points:
    """The loss at a few places of a long run."""
    sampled = events.sample(run.events, points)
    pairs = (
        (whole(event.get("step")), figure(event.get("loss")))
        for event in sampled
        if event["kind"] == "step"
    )
    return tuple(
        (step, loss)
        for step, loss in pairs
        if step is not None and loss is not None and math.isfinite(loss)
    )
