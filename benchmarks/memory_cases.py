"""The runs that the memory estimate is set against, and the shapes of their models."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from lora_tui.core import preset_files
from lora_tui.core.presets import Preset

BACKENDS = ("transformers", "unsloth")
STEPS = 3
WIDE = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "tie_word_embeddings": False,
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


@dataclass(frozen=True)
class Case:
    """One run to measure."""

    method: str
    backend: str
    batch: int
    length: int
    model: str = "smollm2"
    settings: Mapping[str, Any] = field(default_factory=dict)
    as_they_are: bool = False

    @property
    def also(self) -> str:
        """What is unlike the other runs."""
        settings = [f"{key.partition('.')[2]} {value}" for key, value in self.settings.items()]
        rows = ["rows as they are"] * self.as_they_are
        return ", ".join([self.model] * (self.model != "smollm2") + settings + rows).lower()

    @property
    def name(self) -> str:
        """What `--only` picks by, and the key of its measurement."""
        name = f"{self.method}-{self.backend}-{self.batch}x{self.length}"
        return f"{name}, {self.also}" if self.also else name

    def preset(self, models: Path, rows: Path) -> Preset:
        """The preset of the run."""
        return preset_files.changed(
            preset_files.find("smollm2-lora"),
            {
                "model.name_or_path": str(models / self.model),
                "model.max_seq_length": self.length,
                "data.source": str(rows),
                "data.eval_fraction": 0.0,
                "training.per_device_train_batch_size": self.batch,
                "training.gradient_accumulation_steps": 1,
                "training.max_steps": STEPS,
                "training.eval_steps": 0,
                "training.save_steps": 0,
                "lora.method": self.method,
                "engine.backend": self.backend,
                "engine.device": "cpu",
                **self.settings,
            },
        )


GRID = [
    Case(method, backend, batch, length)
    for method, backend, length, batch in product(("lora", "full"), BACKENDS, (256, 512), (1, 2, 4))
]
CHECKS = [
    *(
        Case(method, backend, 1, 128, "tiny")
        for method, backend in product(("lora", "full"), BACKENDS)
    ),
    *(
        Case(method, backend, 2, 512, "wide")
        for method, backend in product(("lora", "full"), BACKENDS)
    ),
    *(
        Case(method, backend, batch, length, settings=settings)
        for method, batch, length, settings in (
            ("lora", 4, 512, {"training.gradient_checkpointing": True}),
            ("lora", 2, 512, {"lora.use_dora": True}),
            ("lora", 2, 512, {"lora.lora_dropout": 0.0}),
            ("lora", 2, 512, {"lora.r": 64, "lora.target_modules": ["q_proj", "v_proj"]}),
            ("lora", 2, 512, {"model.dtype": "float32"}),
            ("lora", 2, 1024, {}),
            ("lora", 4, 512, {"data.eval_fraction": 0.25}),
            ("lora", 4, 512, {"training.padding_free": False}),
            ("full", 4, 256, {"training.optim": "adafactor"}),
            ("full", 2, 256, {"training.optim": "sgd"}),
            ("full", 2, 256, {"training.gradient_accumulation_steps": 4}),
            ("full", 4, 512, {"training.gradient_checkpointing": True}),
        )
        for backend in BACKENDS
    ),
    *(
        Case(
            "lora",
            backend,
            2,
            1024,
            settings={"training.gradient_accumulation_steps": 4, "training.max_steps": 10},
            as_they_are=True,
        )
        for backend in BACKENDS
    ),
]
