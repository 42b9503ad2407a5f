"""A few real steps, taken before a run: whether they work, what they cost, and how much fits.

Steps are taken by the run's own trainer on its own rows; what they do to the weights is lost with
the process.
"""

import math
import random
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from lora_tui.core.presets import Preset
from lora_tui.engine import machine
from lora_tui.engine.job import TorchJob
from lora_tui.engine.masking import Example
from lora_tui.engine.models import Loaded
from lora_tui.engine.trainer import Trainer, build

_DRAWN = 101  # random batches of which the middle one is typical


@dataclass(frozen=True, slots=True)
class Trial:
    """What the steps showed: of one batch each, in seconds and bytes."""

    batch: int
    losses: tuple[float, ...]
    grad_norms: tuple[float, ...]
    eval_loss: float
    longest_seconds: float
    typical_seconds: float
    eval_seconds: float
    peak_memory: int

    @property
    def is_finite(self) -> bool:
        """Whether every loss and gradient is a number."""
        return all(map(math.isfinite, (*self.losses, *self.grad_norms, self.eval_loss)))

    @property
    def is_learning(self) -> bool:
        """Whether a gradient reaches what is trained."""
        return any(norm > 0 for norm in self.grad_norms)


@dataclass(slots=True)
class _Clock(TrainerCallback):
    """Takes the time of each step, and keeps what the trainer says of it."""

    trainer: Any = None
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    mark: float = 0.0

    def on_step_begin(self, *_: Any, **__: Any) -> None:
        self.mark = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.losses.append(float(self.trainer.step_loss))  # waits for the device
        self.seconds.append(time.perf_counter() - self.mark)

    def on_log(self, *_: Any, logs: Any = None, **__: Any) -> None:
        if logs and "grad_norm" in logs:
            self.norms.append(float(logs["grad_norm"]))


class Trials:
    """Tries batches on one loaded model."""

    def __init__(
        self,
        job: TorchJob,
        loaded: Loaded,
        tokenizer: Any,
        train: Sequence[Example],
        held_out: Sequence[Example],
    ) -> None:
        self._job, self._loaded, self._tokenizer = job, loaded, tokenizer
        self._train = train
        self._longest = sorted(train, key=_length, reverse=True)
        self._longest_held_out = sorted(held_out or train, key=_length, reverse=True)

    def take(self, batch: int) -> Trial:
        """A typical batch, the longest there can be, a typical one again, and an evaluation.

        The longest comes second: by then the optimiser has its memory.

        Raises:
            Exception: whatever the libraries raise, out of memory first of all.
        """
        typical = self._typical(batch)
        rows = [*typical, *_filled(self._longest, batch), *typical]
        clock = _Clock()
        with tempfile.TemporaryDirectory(dir=self._job.run.path) as folder:
            trainer = build(
                preset=_for_steps(self._job.preset, batch, 3),
                platform=self._job.platform,
                model=self._loaded.model,
                tokenizer=self._tokenizer,
                rows=rows,
                checkpoints=Path(folder),
                report=clock,
                only_tried=True,
            )
            clock.trainer = trainer
            machine.forget_peak(self._job.torch, self._job.platform.device)
            trainer.train()
            eval_loss, eval_seconds = self._evaluate(trainer, batch)
        return Trial(
            batch=batch,
            losses=tuple(clock.losses),
            grad_norms=tuple(clock.norms),
            eval_loss=eval_loss,
            longest_seconds=clock.seconds[1],
            typical_seconds=clock.seconds[2],
            eval_seconds=eval_seconds,
            peak_memory=self._job.peak_memory(),
        )

    def _evaluate(self, trainer: Trainer, batch: int) -> tuple[float, float]:
        """The loss of a batch and the seconds it took, without what is compiled at the first."""
        rows = _filled(self._longest_held_out, batch)
        if self._job.platform.on_gpu:
            trainer.held_out_loss(rows, self._job.stop)
        began = time.perf_counter()
        loss = trainer.held_out_loss(rows, self._job.stop)
        return loss, time.perf_counter() - began

    def _typical(self, batch: int) -> list[Example]:
        """Of many random batches the one whose longest row is in the middle."""
        draw = random.Random(self._job.preset.training.seed)
        rows = list(self._train)
        batches = [
            draw.sample(rows, batch) if len(rows) >= batch else _filled(rows, batch)
            for _ in range(_DRAWN)
        ]
        batches.sort(key=lambda one: max(map(_length, one)))
        return batches[_DRAWN // 2]


def _length(row: Example) -> int:
    return len(row.input_ids)


def _filled(rows: Sequence[Example], count: int) -> list[Example]:
    """`count` rows from the front, over again where there are fewer."""
    return [rows[at % len(rows)] for at in range(count)]


def _for_steps(preset: Preset, batch: int, steps: int) -> Preset:
    training = replace(
        preset.training,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=1,
        max_steps=steps,
        warmup_steps=0,
        logging_steps=1,
        save_steps=0,
        eval_steps=0,
    )
    return replace(preset, training=training)
