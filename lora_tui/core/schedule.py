"""What the learning rate will do, in figures and in sentences, before it does it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from lora_tui.core.presets import TrainingSettings
from lora_tui.core.text import number

_SAME = 1e-6  # of a rate: less than anybody can see


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate over a run, by transformers' own formulas."""

    kind: str
    peak: float
    warmup: int
    steps: int

    @classmethod
    def of(cls, training: TrainingSettings, steps: int) -> Self:
        """The schedule of a run of so many steps in all."""
        warmup = training.warmup_steps
        rising = math.ceil(steps * warmup) if warmup < 1 else int(warmup)
        kind = training.lr_scheduler_type
        return cls(kind, training.learning_rate, 0 if kind == "constant" else rising, steps)

    def after(self, step: int) -> float:
        """The rate once `step` steps are done: the next step is taken with it."""
        return self.peak * self._share(step)

    def _share(self, step: int) -> float:
        if step < self.warmup:
            return step / max(1, self.warmup)
        if self.kind in {"constant", "constant_with_warmup"}:
            return 1.0
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        if self.kind == "cosine":
            return max(0.0, 0.5 * (1 + math.cos(math.pi * done)))
        return max(0.0, 1 - done)

    def told(self, step: int) -> Iterator[str]:
        """What it does after `step`, a sentence a stretch."""
        if step < self.warmup:
            until = min(self.warmup, self.steps)
            yield (
                f"Steps {step + 1:,} to {until:,}: rising, from {number(self.after(step))} "
                f"to {number(self.after(until))}."
            )
            step = until
        if step >= self.steps:
            return
        stretch = f"Steps {step + 1:,} to {self.steps:,}"
        if self.kind in {"constant", "constant_with_warmup"}:
            yield f"{stretch}: constant, at {number(self.peak)}."
            return
        yield (
            f"{stretch}: {self.kind}, from {number(self.after(step))} "
            f"to {number(self.after(self.steps))}."
        )


def explain(before: Schedule, after: Schedule, step: int) -> list[str]:
    """What changes for a run that goes on by another schedule after `step`, and what comes then."""
    was, now = before.after(step), after.after(step)
    if before == after:
        return [f"The learning rate goes on as it was, from {number(now)} after step {step:,}."]
    lines = list(after.told(step))
    if math.isclose(was, now, rel_tol=_SAME, abs_tol=0.0):
        return [*lines, f"It goes on at {number(now)} after step {step:,}, without a jump."]
    how = "jumps" if now > was else "drops"
    lines.append(f"It {how} from {number(was)} to {number(now)} after step {step:,}.")
    if now > 2 * was:
        lines.append("The loss may rise for some steps before it falls further.")
    if was > 0 and now > 0:
        same = number(after.peak * was / now)
        lines.append(f"With training.learning_rate near {same} it would hardly jump.")
    return lines
