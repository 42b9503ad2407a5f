"""What advice is given on, and what follows from it; whatever is not known is None."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lora_tui.core.consequences import planned_steps
from lora_tui.core.events import figure, whole
from lora_tui.core.metrics import Snapshot
from lora_tui.core.parameters import Trainable
from lora_tui.core.presets import Preset, is_demo

SMALL, LARGE = 2e9, 7e9
"""Parameters of a base below which it is small here, and from which on it is large."""

LARGEST_SHARE = 0.1
LARGEST_RANK = 256
MOST_EPOCHS = 3.0


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when advice is asked for; what is not known makes no rule speak.

    `report` is a data report on the rows that the preset trains on. The rest is what comparisons
    know: the held-out loss on the rows that all were measured on (without it, the run's own), that
    of the full fine-tuning of the same data, whether the adapter was found to change nothing, and
    the rank and the held-out loss of a run that differs only in its lower rank.
    """

    preset: Preset
    trainable: Trainable | None = None
    report: Mapping[str, Any] | None = None
    run: Snapshot | None = None
    held_out_loss: float | None = None
    full_loss: float | None = None
    equals_base: bool = False
    lower_rank: tuple[int, float] | None = None

    @classmethod
    def of_run(cls, preset: Preset, run: Snapshot, **more: Any) -> Self:
        """What a run itself has told; `more` are other fields."""
        parameters = whole(run.fact("model", "trainable_parameters"))
        total = whole(run.fact("model", "total_parameters"))
        trainable = (
            Trainable(parameters, total, 4 * parameters, 0) if parameters and total else None
        )
        return cls(preset, **{"trainable": trainable, "run": run} | more)

    @property
    def is_lora(self) -> bool:
        """Whether an adapter is trained."""
        return self.preset.lora.method == "lora"

    @property
    def is_small(self) -> bool:
        """Whether the base is known to be small."""
        return self.trainable is not None and self.trainable.total < SMALL

    @property
    def is_large(self) -> bool:
        """Whether the base is known to be large."""
        return self.trainable is not None and self.trainable.total >= LARGE

    @property
    def share(self) -> float | None:
        """The adapter's parameters over the base's."""
        return self.trainable.share if self.is_lora and self.trainable else None

    @property
    def batch(self) -> int:
        """Rows a step."""
        training = self.preset.training
        rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
        return rows * self.preset.engine.processes

    @property
    def train_rows(self) -> int | None:
        """Rows that are there to train on."""
        return self._counted("train_rows") or None

    @property
    def eval_rows(self) -> int | None:
        """Rows that are held out."""
        return self._counted("eval_rows")

    def _counted(self, name: str) -> int | None:
        sources = (self.report, self.run.facts.get("data") if self.run else None)
        counts = (whole(one.get(name)) for one in sources if one)
        return next((count for count in counts if count is not None and count >= 0), None)

    @property
    def steps(self) -> int | None:
        """Steps of the whole run."""
        if self.run is not None and self.run.max_steps:
            return self.run.max_steps
        if self.preset.training.max_steps > 0:
            return self.preset.training.max_steps
        return planned_steps(self.preset, self.train_rows) if self.train_rows else None

    @property
    def epochs(self) -> float | None:
        """Passes over the rows."""
        if self.preset.training.max_steps < 0:
            return self.preset.training.num_train_epochs
        return (
            self.preset.training.max_steps * self.batch / self.train_rows
            if self.train_rows
            else None
        )

    @property
    def seen_rows(self) -> int | None:
        """Different rows that the run trains on."""
        if self.train_rows is None or self.preset.training.max_steps < 0:
            return self.train_rows
        return min(self.train_rows, self.preset.training.max_steps * self.batch)

    @property
    def unique_tokens(self) -> float | None:
        """Trained tokens of these rows, each counted once."""
        if self.report is not None and self.seen_rows:
            tokens, kept = whole(self.report.get("trained_tokens")), whole(self.report.get("kept"))
            return tokens * self.seen_rows / kept if tokens and kept and kept > 0 else None
        data = self.run.facts.get("data", {}) if self.run else {}
        tokens, share = whole(data.get("tokens")), figure(data.get("trained_share"))
        return tokens * share if tokens and share else None

    @property
    def own_loss(self) -> float | None:
        """The held-out loss that others are compared with; of a run that is over, or measured."""
        if self.held_out_loss is not None:
            return self.held_out_loss
        return self.run.eval_loss if self.run and self.run.step else None

    @property
    def can_hold_out(self) -> bool:
        """Whether the preset may ask for early stopping: see `preset_check`."""
        return self.preset.data.eval_fraction > 0 or all(map(is_demo, self.preset.data.sources))

    @property
    def rank_room(self) -> int:
        """The highest rank that is worth it: of 256, and of a tenth of the base."""
        if self.trainable is None:
            return LARGEST_RANK
        a_rank = self.trainable.parameters / self.preset.lora.r
        return min(LARGEST_RANK, int(LARGEST_SHARE * self.trainable.total / a_rank))

    @property
    def highest_rate(self) -> float:
        """The highest learning rate that is worth a try before others are known."""
        if self.is_small:
            return 1e-3
        if self.is_lora:
            return 3e-4 if self.is_large else 5e-4
        return 5e-5
