"""The course of a run's losses, to be laid over that of others: by step, by tokens, by time."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lora_tui.core import events
from lora_tui.core.events import Event, figure
from lora_tui.core.runs import Run
from lora_tui.core.series import Points, Series

AXES = ("step", "tokens", "seconds")
KINDS = ("loss", "held-out")


@dataclass(frozen=True, slots=True)
class Course:
    """(place, loss) of each step and of each measurement on held-out rows, by every axis.

    An axis that the run did not report is empty.
    """

    curves: Mapping[str, Mapping[str, Points]] = field(
        default_factory=lambda: {kind: dict.fromkeys(AXES, ()) for kind in KINDS}
    )

    def points(self, kind: str, axis: str) -> Points:
        """One curve."""
        return self.curves[kind][axis]


class _Placed:
    """Losses in bounded memory, with where each stands on an axis that is not the step.

    Both series get values of the same steps, so their buckets are those of the same steps too.
    """

    def __init__(self) -> None:
        self._places, self._losses = Series(), Series()

    def add(self, step: float, place: float | None, loss: float) -> None:
        if place is not None and math.isfinite(place):
            self._places.extend([step], [place])
            self._losses.extend([step], [loss])

    def drop_after(self, step: float) -> None:
        self._places.drop_after(step)
        self._losses.drop_after(step)

    @property
    def last_place(self) -> float | None:
        return self._places.last

    def points(self) -> Points:
        return tuple(
            (place, loss)
            for (_, place), (_, loss) in zip(
                self._places.points(), self._losses.points(), strict=True
            )
        )


class Coursing:
    """Takes in a run's events in their order; a resumed run goes on from where it was saved."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._curves = {kind: {axis: _Placed() for axis in AXES} for kind in KINDS}
        self._now: dict[str, float | None] = {}

    def fold(self, batch: Iterable[Event]) -> None:
        """Take in some events; those that say nothing of a loss are passed over."""
        for event in batch:
            step = figure(event.get("step"))
            if event["kind"] == "started":
                self._begin(figure(event.get("resumed_from")) or 0.0)
            elif event["kind"] == "step" and step is not None:
                self._now = {axis: figure(event.get(axis)) for axis in AXES}
                self._add("loss", step, event)
            elif event["kind"] == "eval" and step is not None:
                self._add("held-out", step, event)

    def _begin(self, step: float) -> None:
        if not step:  # the base is measured anew
            self._curves["held-out"] = {axis: _Placed() for axis in AXES}
        for curves in self._curves.values():
            for curve in curves.values():
                curve.drop_after(step)
        self._now = {axis: curve.last_place for axis, curve in self._curves["loss"].items()}

    def _add(self, kind: str, step: float, event: Event) -> None:
        loss = figure(event.get("loss"))
        if loss is None or not math.isfinite(loss):
            return
        for axis, curve in self._curves[kind].items():
            known = step if axis == "step" else self._now.get(axis)
            curve.add(step, 0.0 if not step else known, loss)

    def course(self) -> Course:
        """What the events so far add up to."""
        return Course(
            {
                kind: {axis: curve.points() for axis, curve in curves.items()}
                for kind, curves in self._curves.items()
            }
        )


def read(run: Run, given_up: Callable[[], bool] = lambda: False) -> Course:
    """The course of a run, from its events; what there was so far once nobody waits for it."""
    coursing = Coursing()
    for batch in events.batches(run.events):
        coursing.fold(batch)
        if given_up():
            break
    return coursing.course()
