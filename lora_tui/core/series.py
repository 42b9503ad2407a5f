"""A curve of any length in bounded memory: buckets that pair up when they are full."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

Points = tuple[tuple[float, float], ...]

CAPACITY = 2048


@dataclass(slots=True)
class Series:
    """Means of equally many neighbouring values; a spike stays visible in its bucket's extremes.

    Values that are NaN or infinite are counted, not averaged.
    """

    steps: list[float] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    stride: int = 1
    first: float | None = None
    last: float | None = None
    least: float = math.inf
    least_at: float = 0
    odd: int = 0

    def extend(self, steps: Sequence[float], values: Sequence[float]) -> None:
        """Append the values measured at `steps`, which rise; both are equally long."""
        if not values:
            return
        self.last = values[-1]
        if not math.isfinite(sum(values)):  # one test for all: NaN and infinity survive addition
            finite = [
                (step, value)
                for step, value in zip(steps, values, strict=True)
                if math.isfinite(value)
            ]
            self.odd += len(values) - len(finite)
            steps, values = [step for step, _ in finite], [value for _, value in finite]
            if not values:
                return
        if self.first is None:
            self.first = values[0]
        if (least := min(values)) < self.least:
            self.least, self.least_at = least, steps[values.index(least)]
        self._fill(steps, values)

    def _fill(self, steps: Sequence[float], values: Sequence[float]) -> None:
        """Put finite values into buckets of `stride`, a slice at a time."""
        start = 0
        while start < len(values):
            if not self.counts or self.counts[-1] >= self.stride:
                if len(self.steps) >= CAPACITY:
                    self._pair()
                self.steps.append(steps[start])
                self.sums.append(0.0)
                self.counts.append(0)
            end = min(len(values), start + self.stride - self.counts[-1])
            self.steps[-1] = steps[end - 1]
            self.sums[-1] += sum(values[start:end])
            self.counts[-1] += end - start
            start = end

    def _pair(self) -> None:
        self.stride *= 2
        self.steps = self.steps[1::2]
        self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
        self.counts = [a + b for a, b in zip(self.counts[::2], self.counts[1::2], strict=True)]

    def drop_after(self, step: float) -> None:
        """Forget what came after `step`: a resumed run measures it again."""
        while self.steps and self.steps[-1] > step:
            self.steps.pop()
            self.sums.pop()
            self.counts.pop()
        self.last = self.sums[-1] / self.counts[-1] if self.steps else None
        if not self.steps:
            self.first, self.least = None, math.inf
        elif self.least_at > step:
            means = [total / count for total, count in zip(self.sums, self.counts, strict=True)]
            self.least = min(means)
            self.least_at = self.steps[means.index(self.least)]

    def points(self) -> Points:
        """(step, mean) of every bucket."""
        means = (total / count for total, count in zip(self.sums, self.counts, strict=True))
        return tuple(zip(self.steps, means, strict=True))


def smoothed(points: Points) -> Points:
    """An exponential moving average over a twentieth of the curve, without lag at its start.

    The debiased form of Kingma and Ba (arXiv 1412.6980, algorithm 1).
    """
    keep = 1 - 2 / (max(5.0, len(points) / 20) + 1)
    average, weight, result = 0.0, 0.0, []
    for step, value in points:
        average = keep * average + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        result.append((step, average / weight))
    return tuple(result)


_BARS = "▁▂▃▄▅▆▇█"
_ASCII_BARS = "_.,-=+*#"


def sparkline(points: Points, width: int, *, ascii_only: bool = False) -> str:
    """The curve in `width` characters, lowest to highest; empty without two points."""
    if len(points) < 2:
        return ""
    bars = _ASCII_BARS if ascii_only else _BARS
    values = [points[len(points) * index // width][1] for index in range(width)]
    low, high = min(values), max(values)
    scale = (len(bars) - 1) / (high - low) if high > low else 0
    return "".join(bars[round((value - low) * scale)] for value in values)
