"""An adapter written into its base: a model that needs no PEFT.

Each layer is merged by PEFT's own `merge` in float32 and rounded once. The base is mapped from its
files and widened layer by layer, so that the whole takes little more memory than the result.
"""

import contextlib
import shutil
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from lora_tui.core import text
from lora_tui.core.comparison_table import ZERO
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.hardware import free_disk
from lora_tui.core.members import Member
from lora_tui.core.parameters import model_folder, read_base
from lora_tui.core.platforms import Platform
from lora_tui.core.presets import Preset
from lora_tui.engine import adapters, failures, models, own_tokenizer, placing
from lora_tui.engine.resident import lora_layers, put_on

EXPORT = "export"
"""As a number format: float16 where every weight fits its range, else float32.

float16 has eight times bfloat16's precision, and llama.cpp's f16 files hold it as it is.
"""

_GENERATION = "generation_config.json"
_BESIDE = 64 << 20
"""Bytes that a tokenizer and the rest may take beside the weights."""


@dataclass(frozen=True, slots=True)
class Written:
    """A merged model on disk: the bytes and the number of its tensors, their number format."""

    bytes: int
    dtype: str
    tensors: int
    warnings: tuple[str, ...] = ()


class _TooLarge(Exception):
    """A weight has no place in a number format."""


def write_merged(
    preset: Preset, platform: Platform, member: Member, folder: Path, dtype: str, *, stop: Any
) -> Written:
    """Write `member` merged into its base as `folder`: whole, or nothing.

    Args:
        preset: Names the base.
        platform: Where the preset computes; merging is done by the processor.
        member: An adapter.
        folder: What stands there is replaced.
        dtype: One of core.merging.DTYPES, or EXPORT.
        stop: Its `check` leaves when that is asked for.

    Raises:
        LoraTuiError: the adapter is broken or does not fit, or there is no room.
    """
    with explained(folder), placing.aside(folder) as new:
        return fill(preset, platform, member, new, dtype, stop=stop)


def fill(
    preset: Preset, platform: Platform, member: Member, folder: Path, dtype: str, *, stop: Any
) -> Written:
    """As `write_merged`, into a folder that is there."""
    _require_room(preset, folder, dtype)
    for wanted in ("float16", "float32") if dtype == EXPORT else (dtype,):
        try:
            model, said = _merged(preset, platform, member, wanted, stop)
        except _TooLarge as error:
            if dtype == EXPORT:
                continue
            raise LoraTuiError(
                f"{error} does not fit {wanted}: it holds larger numbers.",
                "Write it as bfloat16 or float32.",
            ) from error
        stop.check()
        _save(model, preset, folder)
        rows = model.get_input_embeddings().weight.shape[0]
        beside = model_folder(member.path) or Path(member.path)
        tokenizer, told = own_tokenizer.chosen(models.load_tokenizer(preset), beside, rows)
        tokenizer.save_pretrained(str(folder))
        weights = list(folder.glob("*.safetensors"))
        return Written(
            bytes=sum(file.stat().st_size for file in weights),
            dtype=str(model.dtype).removeprefix("torch."),
            tensors=len(list(model.parameters())),
            warnings=(*said, *([] if member.run else told)),  # a run says so itself
        )
    raise AssertionError("float32 holds whatever float32 computed")


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say what to do when writing `folder` fails.

    Raises:
        LoraTuiError: in place of what a library raises.
    """
    try:
        yield
    except LoraTuiError:
        raise
    except Exception as error:  # safetensors has errors of its own
        if failures.is_out_of_memory(error):
            raise LoraTuiError(
                "The machine's memory is not enough to merge this model.",
                "Stop what else runs here, or merge on a machine with more memory.",
            ) from error
        if not isinstance(error, OSError) and "I/O error" not in str(error):
            raise
        raise LoraTuiError(
            f"{folder} cannot be written: {error}.",
            "Free some room or name another folder (--out), then merge again: nothing was left.",
        ) from error


def _require_room(preset: Preset, folder: Path, dtype: str) -> None:
    """Make sure, before anything is loaded, that the disk holds the result.

    Raises:
        LoraTuiError: it does not.
    """
    try:
        base = read_base(preset.model.name_or_path, preset.model.revision)
    except LoraTuiError:  # not here yet, or not as safetensors: nobody knows
        return
    size = base.bytes if dtype == "auto" else base.parameters * (4 if dtype == "float32" else 2)
    if (free := free_disk(folder)) < size + _BESIDE:
        raise LoraTuiError(
            f"The merged model takes {text.size(size + _BESIDE)}, and {text.size(free)} are free "
            f"at {folder.parent}.",
            "Free some room, or name a folder on a larger disk (--out).",
        )


def _merged(
    preset: Preset, platform: Platform, member: Member, dtype: str, stop: Any
) -> tuple[Any, list[str]]:
    """The base with the adapter in its weights, and what has to be said."""
    source = model_folder(member.path) or Path(member.path)
    files = adapters.read(source)
    base = models.load_stored(preset, platform)
    own = base.dtype
    target = own if dtype == "auto" else getattr(torch, dtype)
    kept = {name: weight.dtype for name, weight in base.named_parameters() if weight.dtype != own}
    if files.further or target == torch.float32:
        base.float()  # what is trained whole, or taken out of the base, is not to be rounded twice
    wrapped, said = put_on(base, None, files, "merged", source)
    _untie(base)
    for name, layer in lora_layers(wrapped):
        stop.check()
        _merge(name, layer, target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these layers are merged already
        model = wrapped.merge_and_unload(safe_merge=True)  # and what else was trained
    for name, weight in model.named_parameters():
        weight.data = _rounded(name, weight.data, kept.get(name, target))
    return model, [*files.warnings, *said, *([ZERO] if files.is_zero else [])]


def _save(model: Any, preset: Preset, folder: Path) -> None:
    """Write weights and configurations; how answers are drawn stays as the base's file says.

    transformers refuses to write some of what it reads: temperatures beside greedy decoding.
    """
    try:
        model.generation_config.validate(strict=True)
    except ValueError:
        model.generation_config.do_sample = True
    model.save_pretrained(str(folder))
    source = model_folder(preset.model.name_or_path, preset.model.revision)
    if source and (own := source / _GENERATION).is_file():
        shutil.copyfile(own, folder / _GENERATION)


def _untie(model: Any) -> None:
    """Part an output layer from the embedding it shares its weight with, if one gets an update.

    A merge would change both; PEFT then says so in the configuration.
    """
    ends = [model.get_input_embeddings(), model.get_output_embeddings()]
    updated = [end for end in ends if isinstance(end, LoraLayer)]
    bare = [end.get_base_layer() if end in updated else end for end in ends]
    if updated and None not in bare and bare[0].weight is bare[1].weight:
        bare[1].weight = nn.Parameter(bare[1].weight.detach().clone(), requires_grad=False)


def _merge(name: str, layer: Any, dtype: torch.dtype) -> None:
    weights = list(layer.get_base_layer().parameters(recurse=False))
    for weight in weights:
        weight.data = weight.data.float()
    try:
        layer.merge()  # not "safely", which copies, and looks as is done below
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise LoraTuiError(
            f"PEFT cannot merge {name.removeprefix('base_model.model.')}: {error}.",
            "Use the adapter beside its base.",
        ) from error
    for weight in weights:
        weight.data = _rounded(name.removeprefix("base_model.model."), weight.data, dtype)


def _rounded(name: str, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    rounded = weight.to(dtype)
    if not _is_finite(rounded):
        if _is_finite(weight):
            raise _TooLarge(name)
        raise LoraTuiError(
            f"{name} would hold NaN or infinity.",
            "Fetch the base and copy the adapter again: one of them is damaged.",
        )
    return rounded


def _is_finite(weight: torch.Tensor) -> bool:
    return bool(torch.isfinite(torch.stack(weight.aminmax())).all())  # a NaN is both
