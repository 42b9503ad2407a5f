"""What keeps a model from being exported, as far as files tell it: before an engine starts."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from lora_tui.core import (
    export_files,
    export_tools,
    hardware,
    locations,
    merge_check,
    quantisation,
    text,
)
from lora_tui.core.adapter_names import STARTS_AT_BASE
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import LORA, ExportPlan
from lora_tui.core.gguf_tensors import weights_of
from lora_tui.core.members import Member
from lora_tui.core.merging import MergePlan
from lora_tui.core.parameters import model_folder, read_config
from lora_tui.core.quantisation import QUANTS
from lora_tui.core.safetensors import Tensor, read_model

_FIRST = "merge it first (lora-tui merge), and export that"
_UNFAITHFUL = {
    "use_rslora": "llama.cpp scales by alpha / r, and rsLoRA means alpha / √r",
    "alpha_pattern": "llama.cpp knows one alpha for all layers (alpha_pattern)",
    "use_dora": "llama.cpp knows no DoRA",
    "modules_to_save": "llama.cpp takes no layers trained whole (modules_to_save)",
    "trainable_token_indices": "llama.cpp takes no trained tokens",
    "target_parameters": "llama.cpp takes updates of layers only (target_parameters)",
    "layer_replication": "llama.cpp knows no replicated layers",
    "lora_bias": "llama.cpp takes no trained biases",
}
"""What of an adapter the adapter alone would lose in llama.cpp, and why."""


def refusals(plan: ExportPlan) -> list[str]:
    """Everything that is wrong with a plan, each a sentence with what to do; empty if nothing is.

    Reads the headers of files, never a tensor.
    """
    found = [*_about_types(plan), *_about_folder(plan)]
    known = [quant for quant in plan.quants if quant in QUANTS]
    member, adapter_only = plan.member, set(plan.quants) == {LORA}
    if LORA in plan.quants:
        found += _about_lora(member)
    if member.method == "lora" and not adapter_only:
        found += merge_check.refusals(MergePlan(members=(member,)))
    folder = source_of(member)
    if folder is None:
        found += _about_absence(member)
    else:
        found += _about_model(folder, member)
        found += _about_shapes(folder, plan, known)
    return list(dict.fromkeys(found))


def source_of(member: Member) -> Path | None:
    """The folder of the whole model that a member is, or goes into; None if it is not here."""
    if member.method == "lora":
        return model_folder(member.base, member.revision)
    return model_folder(member.path, member.revision)


def fingerprint(plan: ExportPlan, tools: export_tools.Tools) -> Mapping[str, Any]:
    """What a plan's files are made from, and by what; empty where the base is not here.

    Raises:
        OSError: a folder cannot be read.
    """
    member = plan.member
    base = source_of(member)
    if base is None:
        return {}
    adapter = (model_folder(member.path) or Path(member.path)) if member.method == "lora" else None
    makers = dict(tools.versions)
    with suppress(metadata.PackageNotFoundError):  # run from its source
        makers["lora-tui"] = metadata.version("lora-tui")
    return export_files.fingerprint(adapter, base, makers)


def _about_types(plan: ExportPlan) -> Iterator[str]:
    if not plan.quants:
        yield "No type is named: name one, as q8_0."
    yield from quantisation.unknown(plan.quants)
    if plan.rows < 1:
        yield "A proof needs rows: give at least 1."


def _about_folder(plan: ExportPlan) -> Iterator[str]:
    for place in dict.fromkeys((plan.folder, plan.member.path)):
        if not _is_utf8(place):
            shown = os.fsencode(place).decode("utf-8", "replace")
            yield f"{shown} is not named in UTF-8, which llama.cpp cannot write: rename it."
            return
    folder = Path(plan.folder)
    try:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as error:
        yield f"{folder} cannot be looked at ({error}): name another folder."
        return
    if not existing.is_dir():
        yield f"{existing} is a file: name a folder."
    elif not os.access(existing, os.W_OK | os.X_OK):
        yield f"{existing} is not writable: name another folder."
    for path in (plan.path(quant) for quant in plan.quants):
        if not export_files.is_ours(path):
            yield f"{path} is there already, and no export made it: move it, or name a new folder."
        elif _is_another(source := export_files.source_of(path), plan.member.path):
            yield f"{path} was made from {source}: move it, or name another folder."


def _is_another(source: str, path: str) -> bool:
    """Whether a file is of something else; what is no more where it was may have been moved."""
    if not source or source == path or locations.is_hub_id(source):
        return source not in {"", path}
    return Path(source).exists() and Path(source).resolve() != Path(path).resolve()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _about_absence(member: Member) -> Iterator[str]:
    name = member.base if member.method == "lora" else member.path
    if not locations.is_hub_id(name):  # one on the Hub is fetched
        yield f"There is no model at {name}: put it back, or name another."


def _about_model(folder: Path, member: Member) -> Iterator[str]:
    name = member.base if member.method == "lora" else str(folder)
    config = read_config(folder)
    if not config:
        yield f"{name} holds no config.json that can be read: copy the model here again."
    elif config.get("quantization_config") and member.method != "lora":
        yield f"{name} is quantised already: name the 16-bit model it was made from."
    if not any((folder / one).is_file() for one in ("tokenizer.json", "tokenizer.model")):
        yield (
            f"{name} holds no tokenizer.json and no tokenizer.model: copy the tokenizer of its "
            "base there."
        )
    try:
        tools = export_tools.find()
    except LoraTuiError as error:
        yield f"{error.summary} {error.hint}"
        return
    if config and (problem := unknown_architecture(config, tools)):
        yield problem


def unknown_architecture(config: Mapping[str, Any], tools: export_tools.Tools) -> str:
    """Why the converter cannot read a model of this config.json; empty if it can."""
    known, own = tools.architectures(), export_tools.architecture_of(config)
    if not known or own in known:
        return ""
    return (
        f"llama.cpp's converter knows no {own or 'model without architectures in config.json'}: "
        "set LORA_TUI_LLAMA_CPP to a newer llama.cpp, or use the model with transformers."
    )


def _about_lora(member: Member) -> Iterator[str]:
    if member.method != "lora":
        yield f"{member.name} is a whole model: there is no adapter to export alone."
        return
    folder = model_folder(member.path) or Path(member.path)
    try:
        settings = json.loads((folder / "adapter_config.json").read_text("utf-8"))
        unfaithful = [why for name, why in _UNFAITHFUL.items() if settings.get(name)]
        if settings.get("bias", "none") != "none":
            unfaithful.append(_UNFAITHFUL["lora_bias"])
        if settings.get("init_lora_weights", True) not in STARTS_AT_BASE:
            unfaithful.append("it stands on a base of its own (init_lora_weights)")
        if settings.get("peft_type") != "LORA":
            unfaithful.append(f"it is of the kind {settings.get('peft_type')}")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        yield f"{folder / 'adapter_config.json'} cannot be read ({error}): copy the adapter again."
        return
    if not (folder / "adapter_model.safetensors").is_file():
        unfaithful.append("its weights are no safetensors file")
    if unfaithful:
        yield f"{member.name} alone would say something else: {'; '.join(unfaithful)}. So {_FIRST}."


def _about_shapes(folder: Path, plan: ExportPlan, known: list[str]) -> Iterator[str]:
    try:
        tensors = read_model(folder)
    except LoraTuiError as error:
        yield f"{error.summary} {error.hint}"
        return
    config = read_config(folder)
    rows = {one.name: one.rows for one in weights_of(tensors, config)}.get("token_embd.weight")
    stated = config.get("vocab_size")
    if isinstance(stated, int) and rows is not None and rows != stated:
        yield (
            f"{folder} has {rows:,} token embeddings, and its config.json says vocab_size = "
            f"{stated:,}: correct config.json, or save the model again."
        )
    forecasts = {quant: quantisation.plan(tensors, config, quant) for quant in known}
    yield from (one.refused for one in forecasts.values() if one.refused)
    present: Mapping[str, Any] = {}
    if any(plan.path(quant).exists() for quant in known):  # else a large adapter is read in vain
        with suppress(OSError, LoraTuiError):  # said elsewhere
            present = fingerprint(plan, export_tools.find())
    written = {
        quant: one.bytes or 0
        for quant, one in forecasts.items()
        if plan.again or not _stands(plan.path(quant), present)
    }
    if written or LORA in plan.quants:
        with suppress(OSError):  # a folder that cannot be looked at is named already
            yield from _about_disk(_needs(plan, tensors, config, written))


def _stands(path: Path, present: Mapping[str, Any]) -> bool:
    file = export_files.made(path, present)
    return bool(file and file.proof and file.proof.passed)


def _needs(
    plan: ExportPlan, tensors: list[Tensor], config: Mapping[str, Any], written: Mapping[str, int]
) -> dict[Path, int]:
    """How many bytes go where: the files, what they are made from, and the merged model."""
    wide = {"f32", "bf16"} & set(plan.quants)
    between = "f32" if wide else "f16"
    half = quantisation.plan(tensors, config, between).bytes or 0
    files = merged = 0
    if written:
        files = sum(written.values()) + (0 if between in written else half)
        merged = half if plan.member.method == "lora" else 0
    if LORA in plan.quants:
        files += half  # its base, to prove it with
    return {Path(plan.folder): files, locations.home(): merged}


def _about_disk(needs: Mapping[Path, int]) -> Iterator[str]:
    """Sizes are added up where folders share a disk."""
    disks: dict[int, list[Path]] = {}
    for folder in needs:
        existing = next(path for path in (folder, *folder.parents) if path.exists())
        disks.setdefault(existing.stat().st_dev, []).append(folder)
    for folders in disks.values():
        needed, free = sum(needs[folder] for folder in folders), hardware.free_disk(folders[0])
        if needed > free:
            yield (
                f"{text.size(needed)} are needed at {folders[0]}, and {text.size(free)} are free: "
                "free some room, choose fewer types, or name a folder on another disk."
            )
