"""Telling a run that is lost from one that is only noisy."""

import math
from collections import deque
from collections.abc import Mapping
from statistics import median
from typing import Any

from lora_tui.core.errors import LoraTuiError

WINDOW = 50
PATIENCE = 10
QUICK = 3
"""Steps in a row that are no chance where each alone hardly could be."""

_EARLY = 10  # figures, before which a median says little
_LEAST_RISE = 0.1  # twice almost nothing is still almost nothing
_BY_HEART = 0.1  # a loss below it may well fall to an exact 0
_GUESSING, _KNOWING = 0.75, 0.5  # of the loss of a model that knows nothing: ln(vocabulary)
_WORSE = 1.2  # of the same: surer of what is wrong than chance
_LARGE = 10_000  # tokens: the loss over a small vocabulary reaches that of guessing by noise
_BURST, _LEAST_BURST = 1000.0, 100.0  # times the usual gradient, and at least


class Diverged(LoraTuiError):
    """The loss left for good."""


class DivergenceGuard:
    """Watches every step; a run is lost when one of these holds.

    - The loss, or the gradient, is NaN or infinite: at once.
    - No token was trained three steps in a row, or the loss was exactly 0 and had not been near it.
    - The loss is a fifth above ln(vocabulary), which is that of guessing, and a fifth above where
      it began, three steps in a row.
    - After ten steps whose median was under half of that, it is above three quarters of it and
      twice the median three steps in a row; ten for a vocabulary under 10,000.
    - The gradient is a thousand times its median, and above 100, three times in a row.
    - The gradient is exactly 0 three times in a row, and the rows are not known by heart.
    - The loss is above twice the median of the last fifty ten steps in a row, never within the
      first fifty.
    """

    def __init__(self, vocabulary: int = 0, state: Mapping[str, Any] | None = None) -> None:
        """Begin, or go on from what an earlier process saw.

        Args:
            vocabulary: How many tokens the model chooses from; 0 if nobody knows.
            state: What `state` gave.
        """
        known = state or {}
        self._guessing = math.log(vocabulary) if vocabulary > 1 else math.inf
        self._quick = QUICK if vocabulary >= _LARGE else PATIENCE
        self._first = float(known.get("first", 0.0))  # loss: 0 before there is one
        self._last = float(known.get("last", 1.0))  # loss that was not 0
        self._recent = deque(known.get("recent", ()), maxlen=WINDOW)
        self._norms = deque(known.get("norms", ()), maxlen=WINDOW)
        self._row = {name: int(known.get(name, 0)) for name in _COUNTED}

    @property
    def state(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        seen = {"recent": list(self._recent), "norms": list(self._norms)}
        return {**seen, "first": self._first, "last": self._last, **self._row}

    def watch(self, step: int, loss: float, trained: int = 1) -> None:
        """Take in one step's loss, and how many tokens it trained.

        Raises:
            Diverged: the run is lost.
        """
        if self._lasts("idle", not trained, QUICK):
            raise Diverged(f"No token was trained for {QUICK} steps, up to step {step}.", IDLE)
        if not trained:  # its loss is one over nothing
            return
        if not math.isfinite(loss):
            raise Diverged(f"The loss became {_word(loss)} at step {step}.", REMEDY)
        self._first = self._first or loss
        self._last = loss or self._last
        if self._lasts("zero", loss == 0 and self._last > _BY_HEART, QUICK):
            raise Diverged(f"The loss was exactly 0 for {QUICK} steps, up to step {step}.", IDLE)
        if self._recent:
            self._compare(step, loss)
        self._recent.append(loss)

    def _compare(self, step: int, loss: float) -> None:
        usual = median(self._recent)
        knew = len(self._recent) >= _EARLY and usual < _KNOWING * self._guessing
        guesses = loss > max(_GUESSING * self._guessing, 2 * usual)
        is_worse = loss > _WORSE * max(self._guessing, self._first)
        if self._lasts("worse", is_worse, QUICK):
            raise _guesses(self._first, loss, step)
        if self._lasts("lost", knew and guesses, self._quick):
            raise _guesses(usual, loss, step)
        is_above = len(self._recent) == WINDOW and loss > max(2 * usual, usual + _LEAST_RISE)
        if self._lasts("above", is_above, PATIENCE):
            raise Diverged(
                f"The loss rose to {loss:.3g} and stayed above twice its median of {usual:.3g} "
                f"for {PATIENCE} steps, up to step {step}.",
                REMEDY,
            )

    def watch_norm(self, step: int, norm: float) -> None:
        """Take in a gradient norm.

        Raises:
            Diverged: it is not a number any more, beyond all measure, or nothing at all.
        """
        if not math.isfinite(norm):
            raise Diverged(f"The gradient became {_word(norm)} at step {step}.", REMEDY)
        usual = median(self._norms) if len(self._norms) >= _EARLY else math.inf
        if self._lasts("burst", norm > max(_BURST * usual, _LEAST_BURST), QUICK):
            raise Diverged(
                f"The gradient rose from {usual:.3g} to {norm:.3g}, up to step {step}.", REMEDY
            )
        if self._lasts("still", norm == 0 and self._last > _BY_HEART, QUICK):
            raise Diverged(
                f"The gradient was exactly 0 for {QUICK} steps, up to step {step}, at a loss of "
                f"{self._last:.3g}: nothing can be learnt from there any more.",
                REMEDY,
            )
        self._norms.append(norm)

    def _lasts(self, name: str, holds: bool, most: int) -> bool:
        """Whether something holds so many times in a row."""
        self._row[name] = self._row[name] + 1 if holds else 0
        return self._row[name] >= most


_COUNTED = ("idle", "zero", "worse", "lost", "above", "burst", "still")


def _guesses(before: float, loss: float, step: int) -> Diverged:
    summary = (
        f"The loss rose from {before:.3g} to {loss:.3g} and stayed there, up to step {step}: the "
        "model guesses as if it knew nothing."
    )
    return Diverged(summary, REMEDY)


def _word(value: float) -> str:
    return "NaN" if math.isnan(value) else "infinite"


REMEDY = (
    "Lower training.learning_rate (a third of it is a good try), raise training.warmup_steps, "
    "or look for odd rows in the data. Checkpoints saved before stay."
)
IDLE = (
    "Look at the data as it is trained (d): is what the assistant says trained? If the model knows "
    "the rows by heart already, there is nothing left to learn."
)
