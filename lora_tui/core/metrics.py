"""Events folded into what a screen shows: a history that grows, and frozen snapshots of it."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from types import MappingProxyType
from typing import Any

from lora_tui.core.events import FINAL, Event, figure, whole
from lora_tui.core.series import Points, Series
from lora_tui.core.states import told

CURVES = ("loss", "learning_rate", "grad_norm", "speed")
_KEPT_EVENTS = 200
_SPEED_WINDOW = 64

_COLUMNS = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "trained_tokens",
    "seconds",
    "memory_bytes",
)
_PLAIN = frozenset({int, float})
_HUGE = 1e300  # what is larger, or NaN, is looked at one by one

Facts = Mapping[str, Any]
Values = list[Any]
_NOTHING: Facts = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a run. Curves are (step, value); absent figures are None.

    `scores` are the first and the latest, None until it is measured again. `facts` holds the
    latest event of each kind; `telling` is the kind that tells the state
    (see `states.told`).
    """

    step: int = 0
    max_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    loss_first: float | None = None
    loss_min: float | None = None
    eval_loss: float | None = None
    eval_first: float | None = None
    eval_best: float | None = None
    eval_best_step: int | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int | None = None
    tokens_per_second: float | None = None
    seconds_per_step: float | None = None
    memory_bytes: int | None = None
    odd_losses: int = 0
    curves: Mapping[str, Points] = field(default_factory=dict)
    evals: Points = ()
    facts: Mapping[str, Facts] = field(default_factory=dict)
    scores: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samples: tuple[Facts, ...] = ()
    telling: str | None = None
    launched: float | None = None
    updated: float | None = None
    spent: float = 0.0

    def fact(self, kind: str, name: str) -> Any:
        """One field of the latest event of a kind, or None."""
        return self.facts.get(kind, _NOTHING).get(name)

    @property
    def final(self) -> Facts | None:
        """The event that ended the latest launch, or None while there is none."""
        return self.facts.get(self.telling) if self.telling in FINAL else None

    @property
    def seconds_left(self) -> float | None:
        """Time to the last step at the present speed."""
        if self.final or self.max_steps is None or self.seconds_per_step is None:
            return None
        return max(0, self.max_steps - self.step) * self.seconds_per_step

    @property
    def elapsed(self) -> float | None:
        """Seconds that engines worked on it, over all launches; what lay between is left out."""
        if self.launched is None or self.updated is None:
            return None
        return self.spent + max(0.0, self.updated - self.launched)  # clocks are set back


class History:
    """A run's events, folded one batch after another in bounded memory.

    Not thread-safe: it belongs to the worker that reads the file, and hands out snapshots.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._curves = {name: Series() for name in CURVES}
        self._evals = Series()
        self._latest: dict[str, float] = {}
        self._peak: int | None = None
        self._recent: deque[tuple[float, float, float]] = deque(maxlen=_SPEED_WINDOW)
        self._facts: dict[str, Event] = {}
        self._scores: dict[str, tuple[float, float | None]] = {}
        self._warnings: deque[str] = deque(maxlen=_KEPT_EVENTS)
        self._samples: deque[Facts] = deque(maxlen=_KEPT_EVENTS)
        self._telling: str | None = None
        self._max_steps: int | None = None
        self._launched: float | None = None
        self._updated: float | None = None
        self._last_said: float | None = None
        self._spent = 0.0
        self._is_paused = False

    def fold(self, events: Iterable[Event]) -> None:
        """Take in events in the order of the file; kinds it does not know are passed over."""
        for is_step, group in groupby(events, _is_step):
            if is_step:
                self._fold_steps([event for event in group if whole(event.get("step")) is not None])
            else:
                for event in group:
                    self._fold_one(event)

    def _fold_one(self, event: Event) -> None:
        kind = event["kind"]
        self._telling = told(self._telling, kind)
        self._last_said = self._updated
        if not self._is_paused or kind in {"resumed", "launched"}:
            self._updated = figure(event.get("t")) or self._updated
            self._is_paused = kind == "paused"
        self._facts[kind] = event
        if handler := getattr(self, f"_on_{kind}", None):
            handler(event)
        if most := whole(event.get("max_steps")):
            self._max_steps = most

    def _fold_steps(self, events: Sequence[Event]) -> None:
        """Column by column: a run of a million steps is read in seconds."""
        if not events:
            return
        self._telling = told(self._telling, "step")
        self._updated = figure(events[-1].get("t")) or self._updated
        columns = {name: _column(events, name) for name in _COLUMNS}
        for name, (_, values) in columns.items():
            if values:
                self._latest[name] = values[-1]
        for name in ("loss", "learning_rate", "grad_norm"):
            self._curves[name].extend(*columns[name])
        if memory := columns["memory_bytes"][1]:
            self._peak = max(self._peak or 0, whole(max(memory)) or 0) or None
        if len(columns["seconds"][1]) == len(columns["tokens"][1]) == len(events):
            self._fold_speed(*columns["seconds"], columns["tokens"][1])

    def _fold_speed(self, steps: Values, seconds: Values, tokens: Values) -> None:
        """Tokens a second between each step and the one before it."""
        before = self._recent[-1] if self._recent else (steps[0], seconds[0], tokens[0])
        pace = [
            (step, (now - then) / (end - start))
            for step, start, end, then, now in zip(
                steps, (before[1], *seconds), seconds, (before[2], *tokens), tokens, strict=False
            )
            if end > start and now > then
        ]
        self._curves["speed"].extend([step for step, _ in pace], [value for _, value in pace])
        newest = slice(-_SPEED_WINDOW, None)
        self._recent.extend(zip(steps[newest], seconds[newest], tokens[newest], strict=True))

    def _on_launched(self, event: Event) -> None:
        if self._launched is not None and self._last_said is not None:
            self._spent += self._last_said - self._launched
        self._launched = figure(event.get("t"))
        self._recent.clear()

    def _on_resumed(self, event: Event) -> None:
        """What it waited is no work."""
        self._spent -= figure(event.get("waited")) or 0.0

    def _on_started(self, event: Event) -> None:
        step = whole(event.get("resumed_from")) or 0
        if not step:  # from the beginning, for the first time or again
            self._evals, self._scores, self._latest, self._peak = Series(), {}, {}, None
        for series in (*self._curves.values(), self._evals):
            series.drop_after(step)
        self._latest["step"] = step
        if self._launched is None:
            self._launched = figure(event.get("t"))

    def _on_eval(self, event: Event) -> None:
        step, loss = whole(event.get("step")), figure(event.get("loss"))
        if step is not None and loss is not None:
            self._evals.extend([step], [loss])
        scores = event.get("scores")
        for name, value in (scores if isinstance(scores, dict) else {}).items():
            if (score := figure(value)) is not None:
                first = self._scores.get(name)
                self._scores[name] = (first[0], score) if first else (score, None)

    def _on_warning(self, event: Event) -> None:
        self._warnings.append(str(event.get("text", "")))

    def _on_sample(self, event: Event) -> None:
        self._samples.append(MappingProxyType(event))

    def snapshot(self) -> Snapshot:
        """What the events so far add up to."""
        latest, loss, evals = self._latest, self._curves["loss"], self._evals
        seconds_per_step, tokens_per_second = self._rates()
        return Snapshot(
            step=whole(latest.get("step")) or 0,
            max_steps=self._max_steps,
            epoch=latest.get("epoch"),
            loss=loss.last,
            loss_first=loss.first,
            loss_min=loss.least if loss.steps else None,
            eval_loss=evals.last,
            eval_first=evals.first,
            eval_best=evals.least if evals.steps else None,
            eval_best_step=int(evals.least_at) if evals.steps else None,
            learning_rate=latest.get("learning_rate"),
            grad_norm=latest.get("grad_norm"),
            tokens=whole(latest.get("tokens")),
            tokens_per_second=tokens_per_second,
            seconds_per_step=seconds_per_step,
            memory_bytes=self._peak,
            odd_losses=loss.odd,
            curves={name: series.points() for name, series in self._curves.items()},
            evals=evals.points(),
            facts={kind: MappingProxyType(event) for kind, event in self._facts.items()},
            scores=dict(self._scores),
            warnings=tuple(self._warnings),
            samples=tuple(self._samples),
            telling=self._telling,
            launched=self._launched,
            updated=self._updated,
            spent=self._spent,
        )

    def _rates(self) -> tuple[float | None, float | None]:
        """Seconds a step and tokens a second over the latest steps."""
        if len(self._recent) < 2:
            return None, None
        (step_a, seconds_a, tokens_a), (step_b, seconds_b, tokens_b) = (
            self._recent[0],
            self._recent[-1],
        )
        steps, seconds = step_b - step_a, seconds_b - seconds_a
        if steps <= 0 or seconds <= 0:
            return None, None
        return seconds / steps, (tokens_b - tokens_a) / seconds if tokens_b > tokens_a else None


def _is_step(event: Event) -> bool:
    return bool(event["kind"] == "step")


def _column(events: Sequence[Event], name: str) -> tuple[Values, Values]:
    """(steps, values) of one field, where it is there and a number."""
    values: list[Any] = [event.get(name) for event in events]
    if _PLAIN.issuperset(map(type, values)) and all(-_HUGE < value < _HUGE for value in values):
        return [event["step"] for event in events], values
    pairs = [(event["step"], figure(value)) for event, value in zip(events, values, strict=True)]
    known = [(step, value) for step, value in pairs if value is not None]
    return [step for step, _ in known], [value for _, value in known]
