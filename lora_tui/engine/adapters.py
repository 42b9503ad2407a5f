"""An adapter's files, looked at before PEFT takes them: what it passes over silently is said."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load_file

from lora_tui.core.adapter_names import STARTS_AT_BASE, half_of, module_of
from lora_tui.core.errors import LoraTuiError

_WEIGHTS, _PICKLE = "adapter_model.safetensors", "adapter_model.bin"
_AGAIN = "Copy the adapter here again, or train it anew."
_REACHES_FURTHER = (
    "modules_to_save",
    "trainable_token_indices",
    "layer_replication",
    "target_parameters",
    "alora_invocation_tokens",
    "use_qalora",
    "lora_bias",
)
"""What lets an adapter do more than add low-rank updates to layers."""


@dataclass(frozen=True, slots=True)
class Files:
    """What a folder holds: PEFT's configuration, the tensors, and what is odd about them.

    `bytes` is the size of the weights' file.
    """

    config: Any
    tensors: Mapping[str, torch.Tensor]
    bytes: int
    warnings: tuple[str, ...]

    @property
    def further(self) -> list[str]:
        """What it does beyond low-rank updates to layers, so that no other may share its base.

        Trained biases and tensors of the base's own overwrite the base, PiSSA and its like take a
        part out of it, and what is trained whole stays in it when PEFT takes an adapter off.
        """
        config = self.config
        found = [name for name in _REACHES_FURTHER if getattr(config, name, None)]
        if config.bias != "none":
            found.append("bias")
        if config.init_lora_weights not in STARTS_AT_BASE:
            found.append("init_lora_weights")
        if not all(".lora_" in name for name in self.tensors) and not found:
            found.append("tensors of the base's own")
        return found

    @property
    def is_plain(self) -> bool:
        """Whether PEFT can take it into one batch with others."""
        return not self.further and not self.config.use_dora

    @property
    def parameters(self) -> int:
        """How many numbers were trained."""
        return sum(tensor.numel() for tensor in self.tensors.values())

    @property
    def is_zero(self) -> bool:
        """Whether every update is a product with zero."""
        if not self.is_plain:
            return False
        updates: dict[str, bool] = {}
        for name, tensor in self.tensors.items():
            module = module_of(name)
            updates[module] = updates.get(module, True) and bool(tensor.any())
        return not any(updates.values()) or (
            self.config.lora_alpha == 0 and not self.config.alpha_pattern
        )


def read(folder: Path) -> Files:
    """The adapter in `folder`.

    Raises:
        LoraTuiError: there is none, it is broken, or it holds NaN.
    """
    config = _config(folder)
    tensors, warnings = _tensors(folder)
    if bad := [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]:
        raise LoraTuiError(
            f"{len(bad)} of its {len(tensors)} tensors hold NaN or infinity (first: {bad[0]}).",
            "Its training diverged: use an earlier checkpoint, or train anew with a lower "
            "learning rate.",
        )
    _check_halves(tensors)
    _check_rank(config, tensors)
    size = (folder / (_PICKLE if warnings else _WEIGHTS)).stat().st_size
    return Files(config, tensors, size, tuple(warnings))


def _config(folder: Path) -> Any:
    if not folder.is_dir():
        raise LoraTuiError(f"{folder} is gone.", "Was it deleted or moved?")
    if not (folder / "adapter_config.json").is_file():
        raise LoraTuiError(f"{folder} holds no adapter_config.json.", _AGAIN)
    try:
        config = PeftConfig.from_pretrained(str(folder))
    except Exception as error:  # PEFT raises whatever its fields raise
        raise LoraTuiError(
            f"{folder / 'adapter_config.json'} cannot be read: {error}.", _AGAIN
        ) from error
    if getattr(config.peft_type, "value", config.peft_type) != "LORA":
        raise LoraTuiError(
            f"It is an adapter of the kind {config.peft_type}, not LoRA.",
            "Only LoRA adapters can be compared and swapped.",
        )
    return config


def _tensors(folder: Path) -> tuple[dict[str, torch.Tensor], list[str]]:
    path = folder / _WEIGHTS
    try:
        if path.is_file():
            return load_file(str(path)), []
        path = folder / _PICKLE
        if not path.is_file():
            raise LoraTuiError(f"{folder} holds no {_WEIGHTS}.", _AGAIN)
        found = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(found, dict):
            raise TypeError("it holds no table of tensors")
        return found, [f"{_PICKLE} is a pickle: read as weights only. Save it as safetensors."]
    except (OSError, SafetensorError, ValueError, TypeError, RuntimeError, EOFError) as error:
        raise LoraTuiError(f"{path} cannot be read: {_line(error)}.", _AGAIN) from error
    except Exception as error:  # pickle's own errors, and what a hostile one raises
        raise LoraTuiError(
            f"{path} is a pickle that holds more than weights: it is not loaded.",
            "Get it as safetensors from whoever made it.",
        ) from error


def _check_halves(tensors: Mapping[str, torch.Tensor]) -> None:
    """Make sure that each update has both its factors: PEFT makes up a missing one at random.

    Raises:
        LoraTuiError: some have one only.
    """
    sides = ({module_of(name) for name in tensors if half_of(name) == half} for half in "AB")
    if odd := sorted(set.symmetric_difference(*sides)):
        raise LoraTuiError(
            f"{len(odd)} of its updates lack one of their two factors (first: {odd[0]}): what is "
            "left of them is noise.",
            _AGAIN,
        )


def _check_rank(config: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Make sure that the weights have the rank the configuration says.

    Factors of bare parameters (`target_parameters`) are passed over: PEFT stacks a mixture's
    experts in them, and their rank counts times as many.

    Raises:
        LoraTuiError: they have another.
    """
    owners = tuple(f".{name}".rpartition(".")[0] for name in config.target_parameters or ())
    for name, tensor in tensors.items():
        module = module_of(name)
        if half_of(name) != "A" or f".{module.replace('.base_layer', '')}".endswith(owners):
            continue
        says = rank_of(config, module)
        if tensor.shape[0] != says:
            raise LoraTuiError(
                f"Its weights have rank {tensor.shape[0]}, but its adapter_config.json says r = "
                f"{says} ({module}).",
                "Configuration and weights are of different adapters: copy both again.",
            )


def rank_of(config: Any, module: str) -> int:
    """The rank of a layer."""
    return int(_of_pattern(config.rank_pattern, module, config.r))


def scale_of(config: Any, module: str) -> float:
    """What a layer's product of factors counts times, as PEFT's LoraLayer computes it."""
    rank = rank_of(config, module)
    alpha = float(_of_pattern(config.alpha_pattern, module, config.lora_alpha))
    return alpha / (math.sqrt(rank) if config.use_rslora else rank)


def _of_pattern(patterns: Mapping[str, float] | None, module: str, usual: float) -> float:
    """A layer's value, as peft.utils.other.get_pattern_key finds it."""
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return usual


def explain_misfit(error: Exception) -> LoraTuiError:
    """What PEFT says when an adapter does not fit the base, in words."""
    text = str(error)
    if found := re.search(r"size mismatch for (\S+?): copying a param with shape (.*?) from", text):
        current = re.search(r"current model is (.*?)\.\s*$", text, re.MULTILINE)
        module = re.sub(r"^base_model\.model\.|\.lora_[AB].*$", "", found[1])
        there = f", this base needs {_shape(current[1])}" if current else ""
        return LoraTuiError(
            f"It does not fit this base: {module} is made for {_shape(found[2])}{there}.",
            "It was trained on another model; correct base_model_name_or_path in its "
            "adapter_config.json.",
        )
    if isinstance(error, KeyError):
        return LoraTuiError(f"{module_of(str(error.args[0]))} is missing from its file.", _AGAIN)
    if "Target modules" in text or "No modules were targeted" in text:
        return LoraTuiError(
            "It does not fit this base: none of its target modules is a layer here.",
            "It was trained on a model of another architecture; correct "
            "base_model_name_or_path in its adapter_config.json.",
        )
    return LoraTuiError(f"PEFT cannot attach it: {_line(error)}.", "The log has the whole of it.")


def _shape(text: str) -> str:
    return " x ".join(re.findall(r"\d+", text))


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300].rstrip(".")


def about_keys(result: Any, name: str, expected: int) -> list[str]:
    """What did not load: PEFT only logs it.

    Args:
        result: What `load_adapter` returns.
        name: What the adapter is called in the keys.
        expected: How many LoRA tensors the adapter has in this base.
    """
    found = []
    if missing := [key.replace(f".{name}", "") for key in result.missing_keys]:
        found.append(
            f"{len(missing)} of {expected} tensors are missing from its file "
            f"(first: {module_of(missing[0])}): in those layers it answers as the base does."
        )
    if extra := list(result.unexpected_keys):
        found.append(
            f"{len(extra)} tensor{'s' * (len(extra) > 1)} of its file (first: "
            f"{module_of(extra[0])}) have no place in this base and are not used."
        )
    return found
