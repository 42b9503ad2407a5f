"""Models of known sizes, and what the estimate says of them."""

from pathlib import Path
from typing import Any

from lora_tui.core.estimate import Memory, Shape, estimate
from lora_tui.core.parameters import Base, Layer
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset

SMOLLM2 = Shape(
    layers=30,
    hidden=576,
    intermediate=1536,
    heads=9,
    kv_heads=3,
    head_dim=64,
    vocabulary=49_152,
    tied=True,
    gated=True,
    silu=True,
)
PARAMETERS = 134_515_008
LORA_16 = 4_884_480
PROJECTIONS = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (192, 576),
    "self_attn.v_proj": (192, 576),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (1536, 576),
    "mlp.up_proj": (1536, 576),
    "mlp.down_proj": (576, 1536),
}
MATRICES = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576)
BASE = Base(
    path=Path("smollm2"),
    parameters=PARAMETERS,
    bytes=2 * PARAMETERS,
    layers=tuple(
        Layer(f"model.layers.{number}.{name}", outputs, inputs, bias=False)
        for number in range(30)
        for name, (outputs, inputs) in PROJECTIONS.items()
    ),
    biases=0,
)
CPU = Platform("transformers", "cpu", bfloat16=True)
UNSLOTH = Platform("unsloth", "cpu", bfloat16=True)
GPU = Platform("transformers", "cuda", bfloat16=True)
UNSLOTH_GPU = Platform("unsloth", "cuda", bfloat16=True)
PLATFORMS = [CPU, UNSLOTH, GPU, UNSLOTH_GPU]


def preset(**values: Any) -> Preset:
    """A preset by `training__optim="sgd"`; otherwise batch 1, rank 16, no dropout."""
    named = {key.replace("__", "."): value for key, value in values.items()}
    plain = {"training.per_device_train_batch_size": 1, "lora.lora_dropout": 0.0}
    return changed(Preset(), {**plain, **named})


def memory(
    platform: Platform = CPU, *, longest: int = 256, trained: int | None = 128, **values: Any
) -> Memory:
    return estimate(preset(**values), BASE, SMOLLM2, platform, longest=longest, trained=trained)
