"""Telling a run that is lost from one that is only noisy."""

import math
from collections import deque
from collections.abc import Iterable
from statistics import median

from lora_tui.core.errors import LoraTuiError

WINDOW = 50
PATIENCE = 10
_LEAST_RISE = 0.1  # twice almost nothing is still almost nothing


class Diverged(LoraTuiError):
    """The loss left for good."""


class DivergenceGuard:
    """Watches the loss of every step.

    NaN and infinity count at once; else ten steps in a row with more than twice the median of the
    last fifty, and never within the first fifty.
    """

    def __init__(self, recent: Iterable[float] = (), above: int = 0) -> None:
        """Go on from what an earlier process saw."""
        self.recent = deque(recent, maxlen=WINDOW)
        self.above = above

    def watch(self, step: int, loss: float) -> None:
        """Take in one step's loss.

        Raises:
            Diverged: the run is lost.
        """
        if not math.isfinite(loss):
            raise Diverged(f"The loss became {_word(loss)} at step {step}.", REMEDY)
        if len(self.recent) == WINDOW:
            usual = median(self.recent)
            self.above = self.above + 1 if loss > 2 * usual and loss > usual + _LEAST_RISE else 0
            if self.above >= PATIENCE:
                raise Diverged(
                    f"The loss rose to {loss:.3g} and stayed above twice its median of {usual:.3g} "
                    f"for {PATIENCE} steps, up to step {step}.",
                    REMEDY,
                )
        self.recent.append(loss)

    @staticmethod
    def watch_norm(step: int, norm: float) -> None:
        """Take in a gradient norm.

        Raises:
            Diverged: it is not a number any more.
        """
        if not math.isfinite(norm):
            raise Diverged(f"The gradient became {_word(norm)} at step {step}.", REMEDY)


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


REMEDY = (
    "Lower training.learning_rate (a third of it is a good try), raise training.warmup_steps, "
    "or look for odd rows in the data. Checkpoints saved before stay."
)
