"""Several adapters of one base made into one, computed on their tensors alone.

The definitions are PEFT's own (`LoraModel.add_weighted_adapter`), and so is the arithmetic. What it
gets wrong in silence is right here: what it makes of rsLoRA adapters counts sqrt(r) times
(huggingface/peft#3761), and what it makes of a rank_pattern cannot be loaded again (#3737). Each
layer's scale goes into its weight, and the result is a plain adapter: one rank everywhere, filled
up with zeros, and alpha = r.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import merge_utils
from safetensors.torch import save_file

from lora_tui.core.adapter_names import half_of, module_of
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.merging import MergePlan
from lora_tui.engine.adapters import Files, scale_of

Pair = tuple[torch.Tensor, torch.Tensor]
"""A layer's factors A (rank x inputs) and B (outputs x rank)."""


def combine(plan: MergePlan, several: Sequence[Files]) -> Mapping[str, torch.Tensor]:
    """The tensors of one adapter that is `several` by the plan's method and weights.

    Raises:
        LoraTuiError: the ranks of a layer differ, and the method needs equal ones.
    """
    layers: dict[str, list[tuple[float, Pair]]] = {}
    names: dict[tuple[str, str], str] = {}
    for files, weight in zip(several, plan.weights, strict=True):
        halves = {(module_of(name), half_of(name)): name for name in files.tensors}
        names |= halves
        for module in {module for module, _ in halves}:
            a, b = (files.tensors[halves[module, half]].float() for half in "AB")
            scale = weight * scale_of(files.config, module)
            layers.setdefault(module, []).append((scale, (a, b)))
    rank = plan.rank or max(pair[0].shape[0] for own in layers.values() for _, pair in own)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        made = {module: _combined(plan, rank, module, layers[module]) for module in sorted(layers)}
    widest = max(a.shape[0] for a, _ in made.values())
    return {
        names[module, half]: tensor
        for module, pair in made.items()
        for half, tensor in zip("AB", _filled(pair, widest), strict=True)
    }


def _combined(plan: MergePlan, rank: int, module: str, own: Sequence[tuple[float, Pair]]) -> Pair:
    """One layer; adapters that leave it as it is have no part in it."""
    if plan.method == "cat":
        return (
            torch.cat([scale * a for scale, (a, _) in own]),
            torch.cat([b for _, (_, b) in own], dim=1),
        )
    if plan.method == "svd":
        return _cut(own, rank)
    if len({a.shape[0] for _, (a, _) in own}) > 1:
        raise LoraTuiError(
            f"{plan.method} needs equal ranks, and those of {module} differ.",
            "Choose cat, which is exact, or svd.",
        )
    # As PEFT: half of a weight goes into each factor, its sign into A alone.
    roots = torch.tensor([math.sqrt(abs(scale)) for scale, _ in own])
    signs = torch.tensor([math.copysign(1, scale) for scale, _ in own])
    a = _arithmetic(plan, [a for _, (a, _) in own], signs * roots)
    return a, _arithmetic(plan, [b for _, (_, b) in own], roots)


def _arithmetic(
    plan: MergePlan, tensors: list[torch.Tensor], weights: torch.Tensor
) -> torch.Tensor:
    if plan.method == "linear":
        return merge_utils.task_arithmetic(tensors, weights)
    return getattr(merge_utils, plan.method)(tensors, weights, plan.density)


def _cut(own: Sequence[tuple[float, Pair]], rank: int) -> Pair:
    """The singular value decomposition of the weighted sum of updates, cut to `rank`.

    Of the factors, not of the sum: the same, in a thousandth of the time.
    """
    a = torch.cat([scale * a.double() for scale, (a, _) in own])
    b = torch.cat([b.double() for _, (_, b) in own], dim=1)
    left, middle_b = torch.linalg.qr(b)
    right, middle_a = torch.linalg.qr(a.T)
    u, sizes, v = torch.linalg.svd(middle_b @ middle_a.T)
    rows = (v[:rank] @ right.T).float()
    return rows, (left @ u[:, :rank] * sizes[:rank]).float()


def _filled(pair: Pair, rank: int) -> Pair:
    """The same update with factors of a larger rank."""
    a, b = pair
    more = rank - a.shape[0]
    return (
        torch.nn.functional.pad(a, (0, 0, 0, more)).contiguous(),
        torch.nn.functional.pad(b, (0, more)).contiguous(),
    )


def write(plan: MergePlan, several: Sequence[Files], folder: Path) -> None:
    """Write the adapter that `combine` makes as PEFT reads it.

    Raises:
        LoraTuiError: as `combine`.
        OSError: the disk did not take it.
    """
    tensors = combine(plan, several)
    configs = [files.config for files in several]
    modules = sorted({module_of(name) for name in tensors})
    rank = next(tensor.shape[0] for name, tensor in tensors.items() if half_of(name) == "A")
    config = LoraConfig(
        task_type="CAUSAL_LM",
        base_model_name_or_path=configs[0].base_model_name_or_path,
        revision=configs[0].revision,
        r=rank,
        lora_alpha=rank,
        target_modules=_targets(configs) or modules,
        fan_in_fan_out=configs[0].fan_in_fan_out,
        inference_mode=True,
    )
    folder.mkdir(parents=True)
    save_file(dict(tensors), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(str(folder))


def _targets(configs: Sequence[Any]) -> list[str] | None:
    """The adapters' own words for their layers, where they are lists of names and no more."""
    if any(
        isinstance(config.target_modules, str)
        or config.exclude_modules
        or config.layers_to_transform is not None
        for config in configs
    ):
        return None
    return sorted({name for config in configs for name in config.target_modules})
