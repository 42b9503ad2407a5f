"""Every tensor of a merged model beside what its base's and its adapter's files make of it.

Independent of PEFT: what is compared are files, and the update is computed anew. So a fault shows
however little the adapter changes what the model says.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from lora_tui.core.adapter_names import half_of, module_of
from lora_tui.engine.adapters import Files, scale_of

_KNOWN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
_AT_ONCE = 1 << 20
_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class Audit:
    """How many tensors were compared; which are other ones, and which hold NaN or infinity."""

    checked: int
    off: tuple[str, ...]
    broken: tuple[str, ...]


def audit(base: Path, files: Files, merged: Path, stop: Any) -> Audit:
    """Compare the merged model in `merged` with the model in `base` and an adapter's files.

    `stop.check` leaves when that is asked for.
    """
    checked, off, broken = 0, [], []
    with ExitStack() as stack:
        try:
            before, after = (_opened(folder, stack) for folder in (base, merged))
        except SafetensorError:  # who loads the model says so
            return Audit(0, (), ())
        for name, file in after.items():
            stop.check()
            found = file.get_tensor(name)
            if not bool(torch.isfinite(found).all()):
                broken.append(name)
            elif (wanted := _wanted(name, before, files)) is not None:
                checked += 1
                if not _is_rounded(found, wanted):
                    off.append(name)
    return Audit(checked, tuple(off), tuple(broken))


def _opened(folder: Path, stack: ExitStack) -> dict[str, Any]:
    """The tensors of a model by name, each with the file that holds it."""
    files = [
        stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))
    ]
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - no mapping


def _wanted(name: str, before: Mapping[str, Any], files: Files) -> torch.Tensor | None:
    """What a tensor has to be; None where this does not know."""
    if files.config.init_lora_weights not in _KNOWN_STARTS:
        return None
    if (trained := files.tensors.get(_PREFIX + name)) is not None:
        return trained.float()
    if name not in before or (files.config.use_dora and files.config.fan_in_fan_out):
        return None
    module = name.removesuffix(".weight")
    own = {key: at for key, at in files.tensors.items() if module_of(key) == module}
    if any(key.startswith(f"{_PREFIX}{module}.") and key not in own for key in files.tensors):
        return None  # trained tokens, or what else goes by the layer's name
    weight: torch.Tensor = before[name].get_tensor(name)
    if not own:
        return weight
    weight = weight.float()
    a, b = (next(at for key, at in own.items() if half_of(key) == half) for half in "AB")
    update = scale_of(files.config, module) * (b.float() @ a.float())
    is_turned = files.config.fan_in_fan_out or any("lora_embedding" in key for key in own)
    update = update.T if is_turned else update
    if update.shape != weight.shape or len(own) != 2 + files.config.use_dora:
        return None
    if not files.config.use_dora:
        return weight + update
    # W' = m (W + s BA) / |W + s BA|, norms by row (arXiv 2402.09353, eq. 5).
    (magnitude,) = (at for key, at in own.items() if not half_of(key))
    moved = weight + update
    return moved * (magnitude.float().flatten() / moved.norm(dim=1))[:, None]


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
