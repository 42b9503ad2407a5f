"""TRL's SFTTrainer, set up from a preset, on rows that are tokenised already.

Imported only after the backend: Unsloth replaces TRL's classes as it loads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy
import torch
from datasets import Dataset
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerState,
    set_seed,
)
from trl import SFTConfig

from lora_tui.core.consequences import rows_a_step
from lora_tui.core.platforms import Platform, compute_dtype
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.engine import (
    fused_head,
    fused_lora,
    fused_mlp,
    fused_norm,
    padding_free,
    placing,
    ranks,
)
from lora_tui.engine.checkpoints import prune, refuse_removed
from lora_tui.engine.collate import Collator, pad_id
from lora_tui.engine.divergence import REMEDY, Diverged
from lora_tui.engine.masking import IGNORED, Example
from lora_tui.engine.order import Order
from lora_tui.engine.resuming import Resuming

NEVER = 1_000_000_000
"""A number of steps no run reaches."""
_TOKENS = 2048
"""Tokens measured at once where nothing is padded."""


class Trainer(Resuming):
    """Counts the tokens of every step, and measures held-out loss over tokens."""

    tokens: Any = 0
    trained_tokens: Any = 0
    step_loss: Any = 0.0
    step_tokens: Any = 0
    measure: Callable[[], None]
    pause: Callable[[], bool] = staticmethod(lambda: False)
    best_step: Callable[[], int] = staticmethod(lambda: 0)
    _saved_in: Path | None = None

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """The batches of the next step, counted as they are handed out.

        Not in the collator: the loader reads ahead.
        """
        batches, items = super().get_batch_samples(*args, **kwargs)
        self.step_loss = 0.0
        self.tokens += sum(self._count(batch) for batch in batches)
        self.step_tokens = sum((batch["labels"] != IGNORED).sum() for batch in batches)
        self.trained_tokens += self.step_tokens
        return batches, items

    def _count(self, batch: Mapping[str, Any]) -> Any:
        if self.data_collator is padding_free.collate:
            return padding_free.tokens(batch)
        return batch["attention_mask"].sum()

    def training_step(self, *args: Any, **kwargs: Any) -> Any:
        """One batch forward and backward; its share of the step's loss is added up."""
        loss = super().training_step(*args, **kwargs)
        self.step_loss = self.step_loss + loss
        return loss

    def _maybe_log_save_evaluate(self, tr_loss: Any, *args: Any, **kwargs: Any) -> None:
        if ranks.is_one_of_several():
            # As it will be saved: each goes on from the first one's.
            tr_loss.fill_(ranks.mean(float(tr_loss)))
        super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)
        if self._globalstep_last_logged == self.state.global_step:
            tr_loss.zero_()  # transformers subtracts it from itself, and NaN - NaN stays NaN
        if self.pause():  # it was asked to stop meanwhile: save what the step left
            super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Nothing: TRL would write a card of its own with every checkpoint."""

    @torch.no_grad()
    def held_out_loss(self, rows: Sequence[Example], stop: Any) -> float:
        """The mean loss over the trained tokens of `rows`; moves no random state.

        Transformers' own `evaluate` averages batches, whatever their number of tokens.
        """
        self.model.eval()
        total = torch.zeros((), dtype=torch.float64)
        for batch in self._measured_together(rows):
            stop.check()
            inputs = self._prepare_inputs(self.data_collator(batch))
            count = (inputs["labels"] != IGNORED).sum().item()
            with self.accelerator.autocast():
                total += self.compute_loss(self.model, inputs).double().cpu() * count
        self.model.train()
        return float(total / sum(row.trained for row in rows))

    def _measured_together(self, rows: Sequence[Example]) -> Iterator[list[dict[str, Any]]]:
        """Rows of like length; without padding as many as have `_TOKENS` tokens."""
        size = self.args.per_device_eval_batch_size
        ordered = sorted(rows, key=lambda row: len(row.input_ids), reverse=True)
        while ordered:
            if self.data_collator is padding_free.collate:
                size = max(1, _TOKENS // len(ordered[0].input_ids))
            batch, ordered = ordered[:size], ordered[size:]
            yield [{"input_ids": list(row.input_ids), "labels": list(row.labels)} for row in batch]

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Measure and report between two steps; transformers' own figures are not wanted."""
        self.measure()
        return {}

    def _save_checkpoint(self, *args: Any, **kwargs: Any) -> None:
        """A checkpoint, whole or absent; of several processes the first one makes its folder."""
        step = self.state.global_step
        check_weights(self.model, step)
        run = Run(Path(self.args.output_dir).parent)
        place = run.checkpoints / f"checkpoint-{step}"
        is_first = self.args.should_save
        refuse_removed(run)
        with placing.aside(place) if is_first else nullcontext(placing.beside(place)) as new:
            self._saved_in = new
            ranks.wait()
            super()._save_checkpoint(*args, **kwargs)
            ranks.wait()
            self._saved_in = None
            if is_first:
                for file in (new / place.name).iterdir():
                    file.rename(new / file.name)
                (new / place.name).rmdir()
        if is_first:
            prune(run, step, self.best_step())

    def _get_output_dir(self, trial: Any) -> str:
        """Where transformers writes a folder for each checkpoint: aside."""
        return str(self._saved_in or super()._get_output_dir(trial))

    def load_weights(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint, and nothing else of it."""
        self._load_from_checkpoint(str(checkpoint))

    def restore(self, checkpoint: Path) -> None:
        """Stand where a checkpoint stands, without training on."""
        self.load_weights(checkpoint)
        self.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
        self.callback_handler.on_train_begin(self.args, self.state, self.control)


def check_weights(model: Any, step: int) -> None:
    """Make sure that no broken weight is ever saved.

    Raises:
        Diverged: a trained weight is NaN or infinite.
    """
    trained = (weight for weight in model.parameters() if weight.requires_grad)
    if not all(bool(torch.isfinite(weight).all()) for weight in trained):
        raise Diverged(
            f"The trained weights hold NaN or infinity at step {step}, so they are not saved.",
            REMEDY,
        )


def build(
    *,
    preset: Preset,
    platform: Platform,
    model: Any,
    tokenizer: Any,
    rows: Sequence[Example],
    checkpoints: Path,
    report: TrainerCallback,
    stages: Sequence[int] = (),
    only_tried: bool = False,
) -> Trainer:
    """A trainer whose only voice is `report`.

    `stages` are those of `Data`. With `only_tried` it takes the rows as they stand, and saves
    nothing.
    """
    is_flat = False
    if not platform.on_gpu:
        fused_head.install()
        fused_lora.install(model)
        fused_norm.install(model)
        fused_mlp.install(model)
        is_flat = preset.training.padding_free and padding_free.prepare(model)
    trainer = Trainer(
        model=model,
        args=arguments(preset, platform, checkpoints, only_tried=only_tried),
        data_collator=padding_free.collate if is_flat else Collator(pad_id(tokenizer)),
        train_dataset=as_dataset(rows),
        processing_class=tokenizer,
        callbacks=[report],
    )
    if not only_tried:
        trainer.order = _order(preset, rows, stages)
    if ranks.is_one_of_several():
        # TRL's own figures, which nobody reads: else none could measure without the others.
        trainer.accelerator.gather_for_metrics = lambda figure: figure
    if number := ranks.number():
        set_seed(preset.training.seed + number)  # else each would drop what the first one drops
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    for weight in trainer.model.parameters():
        if weight.requires_grad and preset.lora.method == "lora":
            weight.data = weight.data.float()  # TRL makes a 4-bit base's adapter bfloat16
    if preset.lora.method == "lora":  # as engine/saving.py: PEFT need not ask about embeddings
        save = partial(trainer.model.save_pretrained, save_embedding_layers=False)
        trainer.model.save_pretrained = save
    return trainer


def _order(preset: Preset, rows: Sequence[Example], stages: Sequence[int]) -> Order:
    training = preset.training
    is_grouped = training.train_sampling_strategy == "group_by_length"
    return Order(
        [len(row.input_ids) for row in rows],
        seed=training.seed,
        stages=stages,
        together=rows_a_step(preset) if is_grouped else 0,
    )


def as_dataset(rows: Sequence[Example]) -> Dataset:
    """The rows in the form that SFTTrainer insists on."""
    columns = {
        "input_ids": [numpy.asarray(row.input_ids, dtype=numpy.int32) for row in rows],
        "labels": [numpy.asarray(row.labels, dtype=numpy.int32) for row in rows],
    }
    return Dataset.from_dict(columns)


def arguments(
    preset: Preset, platform: Platform, checkpoints: Path, *, only_tried: bool = False
) -> SFTConfig:
    """The preset's [training] as TRL takes it, and what keeps TRL quiet and exact."""
    training = preset.training
    compute = compute_dtype(preset, platform)
    return SFTConfig(
        output_dir=str(checkpoints),
        per_device_train_batch_size=training.per_device_train_batch_size,
        per_device_eval_batch_size=training.per_device_train_batch_size,
        gradient_accumulation_steps=training.gradient_accumulation_steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type=training.lr_scheduler_type,
        warmup_steps=training.warmup_steps,
        max_steps=training.max_steps,
        num_train_epochs=training.num_train_epochs,
        weight_decay=training.weight_decay,
        optim=training.optim,
        seed=training.seed,
        data_seed=training.seed,
        train_sampling_strategy="sequential" if only_tried else training.train_sampling_strategy,
        logging_steps=training.logging_steps,
        save_strategy="no" if only_tried else "steps",
        save_steps=training.save_steps or NEVER,
        eval_strategy="no",
        gradient_checkpointing=training.gradient_checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False}
        if training.gradient_checkpointing
        else None,
        bf16=compute == "bfloat16",
        fp16=compute == "float16",
        use_cpu=not platform.on_gpu,
        ddp_find_unused_parameters=True,  # an expert of a mixture may get no token of a batch
        dataloader_pin_memory=platform.on_gpu,
        max_length=None,
        packing=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        disable_tqdm=True,
        report_to=[],
        logging_nan_inf_filter=False,
        push_to_hub=False,
    )
