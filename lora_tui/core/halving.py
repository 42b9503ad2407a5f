"""Which runs of a sweep are clearly losing: asynchronous successive halving.

The rule is that of Optuna's SuccessiveHalvingPruner with a reduction factor of 2 (Li et al., arXiv
1810.05934, without waiting): at each rung a run goes on only if its loss is among the better half
of those that came there so far, itself included; the first to come goes on. Optuna itself is not
used: it needs SQLAlchemy, Alembic and NumPy, and calls the function that trains, in its own process
or over a database of its own. Here runs are processes of their own and their events are the truth,
and what is left of Optuna is the rule: the forty lines below.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

REDUCTION = 2


@dataclass(frozen=True, slots=True)
class Point:
    """A held-out loss: when it was measured, at which step."""

    t: float
    step: int
    loss: float


@dataclass(frozen=True, slots=True)
class Lost:
    """Where a run fell behind: its place among those that had come to the rung by then."""

    rung: int
    point: Point
    place: int
    of: int


def rungs(first: int, last: int) -> list[int]:
    """The steps at which runs are held against each other: the first, then each twice as far.

    At `last` all is over, and nothing is saved by stopping.
    """
    found = []
    while 0 < first < last:
        found.append(first)
        first *= REDUCTION
    return found


def losers(courses: Mapping[str, Sequence[Point]], first: int) -> dict[str, Lost]:
    """The runs that fell behind, by what all of them measured so far; `first` is the first rung.

    It depends on nothing but the measurements, so that it can be asked at any time and again. A
    run that comes to two rungs with one measurement is held against the others at both.
    """
    lost: dict[str, Lost] = {}
    racing, rung = set(courses), first
    while racing and rung > 0:
        arrived = sorted(
            (point.t, run, point)
            for run in racing
            if (point := _at(courses[run], rung)) is not None
        )
        racing, seen = set[str](), list[float]()
        for _, run, point in arrived:
            if not math.isnan(point.loss):
                seen.append(point.loss)
            if _goes_on(point.loss, seen):
                racing.add(run)
            else:
                place = sum(loss < point.loss for loss in seen) + 1
                lost[run] = Lost(rung, point, place, len(seen))
        rung *= REDUCTION
    return lost


def _at(course: Sequence[Point], rung: int) -> Point | None:
    """The first measurement at the rung, or beyond it."""
    return next((point for point in course if point.step >= rung), None)


def _goes_on(loss: float, seen: Sequence[float]) -> bool:
    """Whether a loss is among the better half of those seen, which it is one of."""
    if math.isnan(loss):
        return False
    return loss <= sorted(seen)[max(0, len(seen) // REDUCTION - 1)]
