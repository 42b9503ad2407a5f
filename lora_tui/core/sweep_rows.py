"""How the runs of a sweep stand, kept up to date by reading what is new in their events."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core import events, queue, runs, states, summary
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure
from lora_tui.core.metrics import History, Snapshot
from lora_tui.core.overlay import Course, Coursing
from lora_tui.core.preset_files import load
from lora_tui.core.presets import LoraSettings
from lora_tui.core.runs import Run
from lora_tui.core.sweeps import Sweep

GONE = "gone"
"""The state of a run that was deleted."""


@dataclass(frozen=True, slots=True)
class Row:
    """One run of a sweep as it stands; figures that are not known are None."""

    run: Run
    label: str
    state: str
    is_baseline: bool = False
    held: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""
    rank: int | None = None
    step: int = 0
    max_steps: int | None = None
    loss: float | None = None
    trainable: float | None = None
    total: float | None = None
    saved: float | None = None
    seconds_per_step: float | None = None
    memory: float | None = None
    held_out_first: float | None = None
    held_out: float | None = None
    held_out_best: float | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    elapsed: float | None = None
    left: float | None = None
    failure: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """As `sweep --show --json` prints it."""
        return {
            "id": self.run.id,
            "label": self.label,
            "values": dict(self.values),
            "state": self.state,
            "held": self.held,
            "baseline": self.is_baseline,
            "method": self.method or None,
            "rank": self.rank,
            "step": self.step,
            "max_steps": self.max_steps,
            "trainable_parameters": self.trainable,
            "total_parameters": self.total,
            "saved_bytes": self.saved,
            "seconds_per_step": self.seconds_per_step,
            "peak_memory_bytes": self.memory,
            "loss": self.loss,
            "eval_loss": {
                "first": self.held_out_first,
                "last": self.held_out,
                "best": self.held_out_best,
            },
            "scores": dict(self.scores),
            "elapsed": self.elapsed,
            "failure": dict(self.failure) if self.failure else None,
            "warnings": list(self.warnings),
        }


class _Followed:
    """One run's events, read as far as they go."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._offset = 0
        self._begin()
        try:
            self._lora: LoraSettings | None = load(run.preset).lora
        except LoraTuiError:
            self._lora = None
        options = runs.read_info(run).get("options")
        values = options.get("values") if isinstance(options, Mapping) else None
        self._values = values if isinstance(values, Mapping) else {}

    def _begin(self) -> None:
        self._history, self._coursing = History(), Coursing()
        self._snapshot: Snapshot | None = None
        self.course: Course | None = None

    def _read(self) -> Snapshot:
        while True:
            batch, after = events.read_new(self.run.events, self._offset)
            if after < self._offset:  # another file than before
                self._begin()
            if after != self._offset or self._snapshot is None:
                self._history.fold(batch)
                self._coursing.fold(batch)
                self._snapshot = self.course = None
            if after == self._offset:
                break
            self._offset = after
        if self._snapshot is None:
            self._snapshot, self.course = self._history.snapshot(), self._coursing.course()
        return self._snapshot

    def row(self, label: str, *, is_baseline: bool) -> Row:
        run, lora = self.run, self._lora
        ticket = queue.read(run)
        alive = runs.is_alive(run)  # asked before reading, so no last line is missed
        now = self._read()
        state = states.state_of(now.telling, alive=alive, waits=ticket is not None)
        final = now.final or {}
        is_there = run.path.is_dir()
        return Row(
            run=run,
            label=label,
            state=state if is_there else GONE,
            is_baseline=is_baseline,
            held=ticket is not None and ticket.held,
            values=self._values,
            method=lora.method if lora else "",
            rank=lora.r if lora and lora.method == "lora" else None,
            step=now.step,
            max_steps=now.max_steps,
            loss=now.loss,
            trainable=figure(now.fact("model", "trainable_parameters")),
            total=figure(now.fact("model", "total_parameters")),
            saved=figure(final.get("adapter_bytes")) or figure(final.get("model_bytes")),
            seconds_per_step=figure(final.get("seconds_per_step")) or now.seconds_per_step,
            memory=figure(final.get("peak_memory_bytes")) or now.memory_bytes,
            held_out_first=now.eval_first,
            held_out=now.eval_loss if now.evals and now.evals[-1][0] else None,
            held_out_best=now.eval_best,
            scores={name: last for name, (_, last) in now.scores.items() if last is not None},
            elapsed=now.elapsed,
            left=now.seconds_left if state in states.LIVE else None,
            failure=summary.failure(state, now) if is_there else None,
            warnings=now.warnings,
        )


class Following:
    """The rows of a sweep; each look reads what is new. Not for two threads at once."""

    def __init__(self, sweep: Sweep) -> None:
        """Nothing is read yet."""
        self.sweep = sweep
        self._followed = [_Followed(run) for run in sweep.runs]

    def look(self) -> tuple[Row, ...]:
        """The runs as they are now."""
        return tuple(
            one.row(label, is_baseline=one.run.id == self.sweep.baseline)
            for one, label in zip(self._followed, self.sweep.labels, strict=True)
        )

    def courses(self) -> list[Course]:
        """The curves as of the last look."""
        return [one.course or Course() for one in self._followed]


def read(sweep: Sweep) -> tuple[Row, ...]:
    """The rows of a sweep as they are now."""
    return Following(sweep).look()
