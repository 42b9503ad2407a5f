"""The result of a run on disk: whole or absent, and with its own description."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_tui.core import files
from lora_tui.core.adapter_names import half_of
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import write_atomically
from lora_tui.core.platforms import CHANGES_BASE, saved_dtype
from lora_tui.engine import placing
from lora_tui.engine.card import model_card
from lora_tui.engine.checkpoints import refuse_removed
from lora_tui.engine.job import TorchJob
from lora_tui.engine.models import Loaded
from lora_tui.engine.trainer import check_weights


class Result:
    """What a run leaves: `adapter/` as PEFT writes it, or `model/` after full fine-tuning."""

    def __init__(self, job: TorchJob, loaded: Loaded, trainer: Any, tokenizer: Any) -> None:
        """Nothing is written yet."""
        self.job, self.loaded, self.trainer, self.tokenizer = job, loaded, trainer, tokenizer
        self.is_adapter = job.preset.lora.method == "lora"
        self.path = job.run.adapter if self.is_adapter else job.run.model
        self._start = job.run.checkpoints / "start"
        placing.recover(self.path)

    @property
    def _changes_base(self) -> bool:
        return self.is_adapter and self.job.preset.lora.init_lora_weights in CHANGES_BASE

    def keep_start(self) -> None:
        """Keep the untrained adapter where it took a part out of the base: saving needs it back."""
        if self._changes_base:
            config = self._model.peft_config["default"]
            asked, config.init_lora_weights = config.init_lora_weights, True
            with placing.aside(self._start) as new:
                self._save_adapter(new)
            config.init_lora_weights = asked

    @property
    def _model(self) -> Any:
        return self.trainer.accelerator.unwrap_model(self.trainer.model)

    def save(self) -> None:
        """Write aside, then rename: a crash leaves the old result or the new, never a part.

        Raises:
            Diverged: a weight is NaN.
            LoraTuiError: the run was removed, or a weight has no place in lora.save_dtype.
            OSError: the disk is full; an older result is untouched.
        """
        check_weights(self.trainer.model, self.trainer.state.global_step)
        refuse_removed(self.job.run)
        with placing.aside(self.path) as new:
            if self.is_adapter:
                self._save_adapter(
                    new,
                    **(
                        {"path_initial_model_for_weight_conversion": str(self._start)}
                        if self._changes_base
                        else {"state_dict": self._as_computed_with()}
                    ),
                )
            else:
                self._save_model(new)
            self.tokenizer.save_pretrained(new)

    def _as_computed_with(self) -> dict[str, Any]:
        """The model's tensors, with the adapter's factors in the format that they are saved in.

        DoRA's magnitudes, which are divided in float32, and biases stay as they are: rounded
        magnitudes cost a hundredth of the held-out loss.

        Raises:
            LoraTuiError: the format does not hold them.
        """
        name = saved_dtype(self.job.preset, self.job.platform)
        dtype = getattr(self.job.torch, name)
        tensors: dict[str, Any] = self._model.state_dict()
        for key in filter(half_of, list(tensors)):
            tensors[key] = tensors[key].to(dtype)
            if not bool(tensors[key].isfinite().all()):
                raise LoraTuiError(
                    f"Weights of the adapter lie beyond what {name} holds ({key}), so it is not "
                    "saved.",
                    f'Set lora.save_dtype = "float32" in {self.job.run.preset} and resume it.',
                )
        return tensors

    def _save_adapter(self, folder: Path, **options: Any) -> None:
        from peft import PeftModel

        # PEFT's own method: Unsloth's replacement may write a pickle. Without embeddings, as no
        # vocabulary grows here: else it asks the base's folder, or the Hub, whether one has.
        PeftModel.save_pretrained(
            self._model,
            str(folder),
            safe_serialization=True,
            save_embedding_layers=False,
            **options,
        )

    def _save_model(self, folder: Path) -> None:
        # In place, so that what is measured afterwards is what is saved.
        self._model.to(self.loaded.original_dtype)
        self._model.save_pretrained(str(folder))

    def describe(self, figures: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> None:
        """Write the model card, with the results."""
        write_atomically(
            self.path / "README.md", model_card(self.job, self.loaded, figures, measured)
        )

    def figures(self) -> dict[str, Any]:
        """What the final event says about the result."""
        weights = sum(files.size_of(file) for file in self.path.glob("*.safetensors"))
        name = self.path.name
        kind = "adapter" if self.is_adapter else "model"
        return {
            "trainable_parameters": self.loaded.trainable_parameters,
            kind: name,
            f"{kind}_bytes": weights,
        }
