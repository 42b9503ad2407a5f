"""Every tensor of a merged model beside what its base's and its adapter's files make of it.

Independent of PEFT: what is compared are files, and the update is computed anew. So a fault shows
however little the adapter changes what the model says.
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lora_tui.core.adapter_names import STARTS_AT_BASE, half_of, module_of, target_of
from lora_tui.engine.adapters import Files, scale_of

_AT_ONCE = 1 << 20
_PREFIX = "base_model.model."

Parts = Sequence[tuple[float, Files]]
"""Adapters whose updates a merge is the sum of, each with its weight."""


@dataclass(frozen=True, slots=True)
class Audit:
    """How many of how many tensors were compared; which are other ones, and which hold NaN."""

    checked: int = 0
    tensors: int = 0
    off: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()


def audit(base: Path, parts: Parts, merged: Path, stop: Any) -> Audit:
    """Compare the merged model in `merged` with the model in `base` and adapters' files.

    `stop.check` leaves when that is asked for.
    """
    checked, off, broken = 0, [], []
    with ExitStack() as stack:
        try:
            before, after = (_opened(folder, stack) for folder in (base, merged))
        except SafetensorError:  # who loads the model says so
            return Audit()
        # Some checkpoints call their tensors otherwise than the model does (Gemma 3, vision): which
        # of them an adapter changes is not known then.
        knows_names = all(
            target_of(key) in before or target_of(key) in after
            for _, files in parts
            for key in files.tensors
        )
        for name, file in after.items():
            stop.check()
            found = file.get_tensor(name)
            if not bool(torch.isfinite(found).all()):
                broken.append(name)
            elif (wanted := _wanted(name, before, parts, knows_names)) is not None:
                checked += 1
                if not _is_rounded(found, wanted):
                    off.append(name)
        return Audit(checked, len(after), tuple(off), tuple(broken))


def _opened(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The tensors of a model by name, each with the file that holds it."""
    files = [
        stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))
    ]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no mapping


def _wanted(
    name: str, before: Mapping[str, Any], parts: Parts, knows_names: bool
) -> torch.Tensor | None:
    """What a tensor has to be; None where this does not know."""
    if any(files.config.init_lora_weights not in STARTS_AT_BASE for _, files in parts):
        return None
    for _, files in parts:
        if (trained := files.tensors.get(_PREFIX + name)) is not None:
            return trained.float()
    if name not in before:
        return None
    module = name.removesuffix(".weight")
    weight: torch.Tensor = before[name].get_tensor(name)
    touching = [
        (share, files)
        for share, files in parts
        if any(key.startswith(f"{_PREFIX}{module}.") for key in files.tensors)
    ]
    if not touching:
        added = f"{_PREFIX}{name.removesuffix('.bias')}.lora_B.bias"
        is_added_to = any(added in files.tensors for _, files in parts)
        return weight if knows_names and not is_added_to else None
    moved: torch.Tensor | None = weight.double()
    for share, files in touching:
        moved = moved if moved is None else _moved(moved, share, files, module)
    return moved


def _moved(weight: torch.Tensor, share: float, files: Files, module: str) -> torch.Tensor | None:
    """A layer's weight with an adapter's update `share` times; None where this does not know."""
    own = {key: at for key, at in files.tensors.items() if module_of(key) == module}
    others = (key for key in files.tensors if key.startswith(f"{_PREFIX}{module}."))
    is_dora = files.config.use_dora
    if any(key not in own for key in others) or len(own) != 2 + is_dora:
        return None  # trained tokens or biases, or what else goes by the layer's name
    a, b = (next(at for key, at in own.items() if half_of(key) == half) for half in "AB")
    update = share * scale_of(files.config, module) * (b.double() @ a.double())
    is_turned = files.config.fan_in_fan_out or any("lora_embedding" in key for key in own)
    update = update.T if is_turned else update
    if update.shape != weight.shape or (is_dora and is_turned):
        return None
    moved = weight + update
    if not is_dora:
        return moved
    # W' = m (W + s BA) / |W + s BA|, norms by row (arXiv 2402.09353, eq. 5).
    (magnitude,) = (at for key, at in own.items() if not half_of(key))
    return moved * (magnitude.double().flatten() / moved.norm(dim=1))[:, None]


def _is_rounded(found: torch.Tensor, wanted: torch.Tensor) -> bool:
    """Whether every number is `wanted`, rounded once to the format of `found`."""
    if found.shape != wanted.shape:
        return False
    info = torch.finfo(found.dtype)
    # Of float32, in sums of another order; and the smallest step there is.
    noise = 2e-6 * float(max(wanted.max(), -wanted.min())) + info.tiny * info.eps
    return all(
        bool(((one.float() - other).abs() <= 1.001 * info.eps / 2 * other.abs() + noise).all())
        for one, other in zip(
            found.flatten().split(_AT_ONCE), wanted.flatten().split(_AT_ONCE), strict=True
        )
    )
