"""What a preset makes trainable, counted exactly from the base's safetensors header: no torch.

LoRA on a linear layer of shape (out, in) adds A of (r, in) and B of (out, r): r x (in + out)
parameters; DoRA adds a magnitude of `out` (peft.tuners.lora.layer).
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import CHANGES_BASE, Platform, saved_dtype
from lora_tui.core.presets import LoraSettings, Preset, is_demo
from lora_tui.core.safetensors import Tensor, read_model

_HEADS = frozenset({"lm_head", "embed_out", "score", "classifier"})
_EMBEDDINGS = re.compile(r"(^|\.)(embed\w*|wte|wpe|word_embeddings|\w*_embeddings?)$")
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One linear layer of the base."""

    name: str
    outputs: int
    inputs: int
    bias: bool


@dataclass(frozen=True, slots=True)
class Base:
    """What is known of a base model without loading it."""

    path: Path
    parameters: int
    bytes: int
    layers: tuple[Layer, ...]
    biases: int


@dataclass(frozen=True, slots=True)
class Trainable:
    """What a preset trains of a base, and what the result weighs."""

    parameters: int
    total: int
    saved_bytes: int
    layers: int

    @property
    def share(self) -> float:
        """Trainable parameters over the base's own."""
        return self.parameters / self.total


def model_folder(name_or_path: str, revision: str = "") -> Path | None:
    """Where a model's files lie here: a folder, the demo, or the Hub's cache; else None."""
    if is_demo(name_or_path):
        return locations.assets_folder() / "demo-model"
    folder = locations.local_path(name_or_path)
    if folder is not None and folder.is_dir():
        return folder
    if not locations.is_hub_id(name_or_path):
        return None
    cached = locations.hub_cache() / f"models--{name_or_path.replace('/', '--')}"
    try:
        commit = (cached / "refs" / (revision or "main")).read_text("utf-8").strip()
    except OSError:
        commit = revision
    snapshot = cached / "snapshots" / Path(commit or "main").name
    return snapshot if snapshot.is_dir() else None


def read_base(name_or_path: str, revision: str = "") -> Base:
    """The base's layers and size.

    Raises:
        LoraTuiError: it is not on this machine, or its files cannot be read.
    """
    folder = model_folder(name_or_path, revision)
    if folder is None and not locations.is_hub_id(name_or_path):
        raise LoraTuiError(
            f'There is no model at "{name_or_path}".', "Name its folder, or a Hub id."
        )
    if folder is None:
        raise LoraTuiError(
            f"{name_or_path} is not on this machine yet.",
            "It is fetched from the Hub when a run starts; or name a local folder.",
        )
    return _read_folder(folder, folder.stat().st_mtime_ns)


@lru_cache(maxsize=32)
def _read_folder(folder: Path, _changed: int) -> Base:
    tensors = read_model(folder)
    if odd := {tensor.dtype for tensor in tensors if len(tensor.shape) == 2} - _FLOATS:
        raise LoraTuiError(
            f"The model is quantised already ({', '.join(sorted(odd))}): nothing can be counted.",
            "Name the 16-bit model and set model.load_in_4bit.",
        )
    tied = _is_tied(folder)
    named = {tensor.name: tensor for tensor in tensors}
    layers = tuple(_layer(tensor, named) for tensor in tensors if _is_linear(tensor))
    counted = [tensor for tensor in tensors if not (tied and tensor.name == "lm_head.weight")]
    return Base(
        path=folder,
        parameters=sum(tensor.elements for tensor in counted),
        bytes=sum(tensor.bytes for tensor in counted),
        layers=layers,
        biases=sum(tensor.elements for tensor in tensors if tensor.name.endswith(".bias")),
    )


def _is_tied(folder: Path) -> bool:
    return bool(read_config(folder).get("tie_word_embeddings"))


def read_config(folder: Path) -> dict[str, Any]:
    """A model's config.json; empty when it is missing or garbage."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return config if isinstance(config, dict) else {}


def longest_of(name_or_path: str, revision: str = "") -> int | None:
    """How many tokens the model was made for, where its config.json is here and says so."""
    folder = model_folder(name_or_path, revision)
    limit = read_config(folder).get("max_position_embeddings") if folder else None
    return limit if isinstance(limit, int) and limit > 0 else None


def _is_linear(tensor: Tensor) -> bool:
    module = tensor.name.removesuffix(".weight")
    return len(tensor.shape) == 2 and module != tensor.name and not _EMBEDDINGS.search(module)


def _layer(tensor: Tensor, named: dict[str, Tensor]) -> Layer:
    module = tensor.name.removesuffix(".weight")
    outputs, inputs = tensor.shape
    return Layer(module, outputs, inputs, bias=f"{module}.bias" in named)


def targeted(layers: tuple[Layer, ...], lora: LoraSettings) -> list[Layer]:
    """The layers PEFT gives an adapter: those whose name is, or ends in, one of the targets."""
    if lora.target_modules == "all-linear":
        return [layer for layer in layers if layer.name.rpartition(".")[2] not in _HEADS]
    targets = lora.target_modules
    return [layer for layer in layers if any(_is(layer.name, target) for target in targets)]


def _is(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def unmatched(names: Sequence[str], lora: LoraSettings) -> list[str]:
    """Names in lora.target_modules that none of the modules `names` has.

    PEFT passes over them silently.
    """
    if lora.method == "full" or isinstance(lora.target_modules, str):
        return []
    return [one for one in lora.target_modules if not any(_is(name, one) for name in names)]


def count_trainable(base: Base, preset: Preset, platform: Platform | None = None) -> Trainable:
    """What `preset` trains of `base`.

    Without a platform the result weighs what it weighs in float32.

    Raises:
        LoraTuiError: no layer of the base has one of the target names.
    """
    lora = preset.lora
    if lora.method == "full":
        return Trainable(base.parameters, base.parameters, base.bytes, len(base.layers))
    layers = targeted(base.layers, lora)
    if not layers:
        present = sorted({layer.name.rpartition(".")[2] for layer in base.layers})
        raise LoraTuiError(
            f"No layer of the model is called {', '.join(lora.target_modules)}.",
            f'lora.target_modules can be {", ".join(present)}, or "all-linear".',
        )
    factors = sum(lora.r * (layer.inputs + layer.outputs) for layer in layers)
    others = sum(layer.outputs for layer in layers) if lora.use_dora else 0
    if lora.bias == "all":
        others += base.biases
    elif lora.bias == "lora_only":
        others += sum(layer.outputs for layer in layers if layer.bias)
    width = 4 if platform is None or saved_dtype(preset, platform) == "float32" else 2
    copies = 2 if lora.init_lora_weights in CHANGES_BASE else 1  # the adapter as it began, too
    saved = copies * width * factors + 4 * others
    return Trainable(factors + others, base.parameters, saved, len(layers))
