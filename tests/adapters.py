"""LoRA adapters of the demo model, written by hand in PEFT's format: no torch is needed."""

import json
import random
import struct
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.parameters import read_base

DEMO_MODEL = locations.assets_folder() / "demo-model"
TARGETS = ("q_proj", "v_proj", "down_proj")

Tensors = dict[str, tuple[tuple[int, int], array]]


def write_adapter(
    folder: Path,
    *,
    r: int = 4,
    size: float = 0.4,
    base: Path | str = DEMO_MODEL,
    change: Callable[[Tensors], object] = lambda _: None,
    **config: Any,
) -> Path:
    """An adapter with normal random weights, the same for the same `r` and `size`.

    Args:
        folder: Where to.
        r: The rank.
        size: The standard deviation of B; 0 makes an adapter that changes nothing.
        base: What its configuration names.
        change: May alter the tensors, {name: (shape, float32 values)}.
        config: More for adapter_config.json.
    """
    draw = random.Random(r)
    tensors: Tensors = {}
    for layer in read_base(str(DEMO_MODEL)).layers:
        if layer.name.rpartition(".")[2] in TARGETS:
            name = f"base_model.model.{layer.name}"
            tensors[f"{name}.lora_A.weight"] = _normal(draw, (r, layer.inputs), 0.05)
            tensors[f"{name}.lora_B.weight"] = _normal(draw, (layer.outputs, r), size)
    change(tensors)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": r,
        "lora_alpha": 2 * r,
        "target_modules": list(TARGETS),
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    (folder / "adapter_model.safetensors").write_bytes(_packed(tensors))
    return folder


def of_other_shape(tensors: Tensors) -> None:
    """The tensors of an adapter of another model."""
    for name, (shape, _) in tensors.items():
        new = (shape[0], 64) if "lora_A" in name else (64, shape[1])
        tensors[name] = (new, array("f", [0.1]) * (new[0] * new[1]))


def _normal(draw: random.Random, shape: tuple[int, int], size: float) -> tuple[Any, Any]:
    return shape, array("f", (draw.gauss(0, size) for _ in range(shape[0] * shape[1])))


def _packed(tensors: Mapping[str, tuple[tuple[int, int], Any]]) -> bytes:
    """The format of core.safetensors: a header's length, the header, the numbers."""
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        start = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return struct.pack("<Q", len(packed)) + packed + data
