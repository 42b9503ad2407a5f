"""What a check looks at before it takes steps: preset, model, tokenizer, data, mask, disk, memory.

Each look gives an item, and what the next ones stand on.
"""

import re
from pathlib import Path
from typing import Any

from lora_tui.core import (
    estimate,
    export_check,
    export_tools,
    hardware,
    hub,
    locations,
    parameters,
    quantisation,
    safetensors,
    text,
)
from lora_tui.core.consequences import TIGHT
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.items import Item
from lora_tui.core.parameters import Base, count_trainable
from lora_tui.core.presets import Preset
from lora_tui.engine import data as rows_of
from lora_tui.engine import machine, models, pretokenizer
from lora_tui.engine.data import Data
from lora_tui.engine.job import Job, TorchJob, with_torch
from lora_tui.engine.templates import ChatTemplate

_LESS = (
    "Lower model.max_seq_length, set training.gradient_checkpointing = true, or take a smaller "
    "model."
)
_FEW_TRAINED = 0.02
_MANY_CUT = 0.1
_MANY_LEFT = 0.05
_CHECKPOINTS = 3  # two are kept, and a third is written before the oldest goes


def preset(begun: Job, *, quick: bool) -> tuple[Item, TorchJob]:
    """Whether the machine can do what the preset says; the libraries are imported unless quick."""
    current = with_torch(begun, with_backend=not quick)
    chosen = current.platform
    threads = "" if chosen.on_gpu else f", {current.torch.get_num_threads()} threads"
    return Item("preset", "green", f"{chosen.backend} on {chosen.device}{threads}"), current


def model(preset: Preset) -> tuple[Item, Base | None]:
    """Whether the model is here or can be had, what it is, and under which licence."""
    reference = models.reference_of(preset)
    folder = parameters.model_folder(preset.model.name_or_path, preset.model.revision)
    if folder is None:
        return _on_hub(reference, preset.model.revision), None
    base = parameters.read_base(preset.model.name_or_path, preset.model.revision)
    config = models.read_config(preset)
    trainable = count_trainable(base, preset)
    licence = _licence(folder)
    detail = (
        f"{(config.architectures or [config.model_type])[0]}, {text.count(base.parameters)} "
        f"parameters, {text.count(trainable.parameters)} trained; "
        + (f"licence {licence}" if licence else "its licence is not stated")
    )
    if missing := parameters.unmatched([one.name for one in base.layers], preset.lora):
        remedy = "Correct lora.target_modules, or leave the names out; the others are trained."
        return Item("model", "yellow", f"No layer is called {', '.join(missing)}.", remedy), base
    return Item("model", "green", detail), base


def _licence(folder: Path) -> str:
    """The licence in the head of a model card, as the Hub reads it."""
    try:
        card = (folder / "README.md").read_text("utf-8", "replace")[:20_000]
    except OSError:
        return ""
    found = re.search(r"\A---\n.*?^license:\s*(.+?)\s*$.*?^---", card, re.MULTILINE | re.DOTALL)
    return text.one_line(found[1]) if found else ""


def _on_hub(name: str, revision: str) -> Item:
    """Ask the Hub for a model that is not here.

    Raises:
        LoraTuiError: the Hub does not answer.
    """
    if not hub.answers():
        raise LoraTuiError(
            f"{name} is not on this machine, and the Hub cannot be reached.",
            "Connect this machine, or name a local folder in model.name_or_path.",
        )
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, revision=revision or None, files_metadata=True, timeout=20)
    size = sum(file.size or 0 for file in info.siblings or () if "safetensors" in file.rfilename)
    licence = (info.card_data or {}).get("license") or "not stated"
    return Item(
        "model",
        "yellow",
        f"on the Hub, {text.size(size)} to fetch; licence {licence}",
        f"Fetch it (hf download {name}) and check again: disk, memory and steps need its files.",
    )


def tokenizer(preset: Preset) -> tuple[Item, Any]:
    """Whether the tokenizer loads, fits the model, and knows how a conversation is written."""
    found = models.load_tokenizer(preset)
    size = getattr(models.read_config(preset).get_text_config(), "vocab_size", None)
    if size is not None and len(found) > size:
        raise LoraTuiError(
            f"The tokenizer has {len(found):,} tokens, and the model knows {size:,}.",
            "They do not belong together: take the tokenizer that comes with the model.",
        )
    template = ChatTemplate(found)
    end = found.eos_token
    detail = f"{len(found):,} tokens, ends with {end}" if end else f"{len(found):,} tokens"
    if template.warnings:
        return Item("tokenizer", "yellow", " ".join(template.warnings)), found
    if end is None:
        remedy = "Set eos_token in the model's tokenizer_config.json."
        return Item("tokenizer", "yellow", f"{detail}, none of which ends a text", remedy), found
    return Item("tokenizer", "green", detail), found


def data(preset: Preset, tokenizer: Any) -> tuple[Item, Data]:
    """Whether the rows can be read, and how many are left to learn from."""
    found = rows_of.prepare(preset, tokenizer)
    report = found.report
    columns = ", ".join(f"{role}={name}" for role, name in report["columns"].items())
    detail = (
        f"{report['format']} ({columns}): {report['train_rows']:,} rows to train on, "
        f"{report['eval_rows']:,} held out"
    )
    left = sum(report["dropped"].values())
    if left > _MANY_LEFT * report["read"]:
        reasons = ", ".join(f"{reason} ({count:,})" for reason, count in report["dropped"].items())
        remedy = f"{left:,} of {report['read']:,} rows are left out: {reasons}."
        return Item("data", "yellow", detail, remedy), found
    limit = parameters.longest_of(preset.model.name_or_path, preset.model.revision)
    if limit and report["longest"] > limit:
        remedy = f"Set model.max_seq_length = {limit}."
        detail = f"rows of {report['longest']:,} tokens; the model was made for {limit:,}"
        return Item("data", "yellow", detail, remedy), found
    if not report["eval_rows"]:
        remedy = "Set data.eval_fraction: without held-out rows memorising looks like learning."
        if preset.data.eval_fraction:
            remedy = "There are too few rows to hold one out."
        return Item("data", "yellow", detail, remedy), found
    return Item("data", "green", detail), found


def mask(preset: Preset, rows: Data) -> tuple[Item, None]:
    """Whether answers are trained, whole, and with their end.

    Raises:
        LoraTuiError: no row teaches the model to stop.
    """
    examples, longest = rows.train.examples, preset.model.max_seq_length
    special = frozenset(rows.template.tokenizer.all_special_ids)
    unended = sum(not example.ends_in(special) for example in examples)
    whole = sum(not example.truncated for example in examples)
    share = rows.report["trained_share"]
    detail = f"{text.share(share)} of the tokens are trained, in every row"
    if whole and unended == whole:
        raise LoraTuiError(
            "No row ends with a trained end-of-turn token: the model would never stop.",
            "Correct the model's chat template: an answer has to end with its eos_token.",
        )
    if not whole:
        raise LoraTuiError(
            f"Every row is longer than {longest:,} tokens and loses its end: the model would "
            "never stop.",
            "Raise model.max_seq_length; `lora-tui data` says how long the rows are.",
        )
    if (cut := len(examples) - whole) > _MANY_CUT * len(examples):
        detail = f"{cut:,} of {len(examples):,} rows are cut at {longest:,} tokens"
        remedy = "Raise model.max_seq_length; `lora-tui data` says how long the rows are."
        return Item("mask", "yellow", detail, remedy), None
    if unended:
        detail = f"{unended:,} of {len(examples):,} rows do not end with a trained end of turn"
        return Item("mask", "yellow", detail, "Look at these rows in the data report."), None
    if share < _FEW_TRAINED:
        remedy = "Most of the time goes into prompts; are they meant to be so long?"
        return Item("mask", "yellow", detail, remedy), None
    return Item("mask", "green", f"{detail}; answers end with {_end(rows)}"), None


def _end(rows: Data) -> str:
    first = next(one for one in rows.train.examples if not one.truncated)
    return str(
        rows.template.tokenizer.convert_ids_to_tokens(first.input_ids[first.spans[-1][1] - 1])
    )


def disk(preset: Preset, base: Base, current: TorchJob | None) -> tuple[Item, None]:
    """Whether checkpoints and the result have room.

    A checkpoint holds what is trained in float32 and AdamW's two moments of it: 12 bytes each.
    """
    trainable = count_trainable(base, preset, current.platform if current else None)
    needed = _CHECKPOINTS * 12 * trainable.parameters + trainable.saved_bytes
    free = hardware.free_disk(locations.home())
    detail = f"{text.size(needed)} needed for checkpoints and result, {text.size(free)} free"
    if needed > free:
        raise LoraTuiError(f"{detail}.", "Delete old runs, or set LORA_TUI_HOME to a larger disk.")
    if free - needed < hardware.LITTLE_DISK:
        return Item("disk", "yellow", detail, "Delete old runs: lora-tui delete RUN"), None
    return Item("disk", "green", detail), None


def memory(current: TorchJob, base: Base, rows: Data) -> tuple[Item, None]:
    """Whether the estimated peak fits into the memory that is free.

    Raises:
        LoraTuiError: it does not.
    """
    preset, platform = current.preset, current.platform
    longest = max(rows.train.examples, key=lambda row: len(row.input_ids))
    needs = {"longest": len(longest.input_ids), "trained": longest.trained}
    try:
        shape = estimate.read_shape(base.path)
        found = estimate.estimate(preset, base, shape, platform, **needs)
    except LoraTuiError as error:  # an architecture that is not known: the steps will tell
        return Item("memory", "yellow", error.summary, "The real steps measure it."), None
    free = machine.free_memory(current.torch, platform.device)
    detail = f"about {text.size(found.total)} at the longest rows"
    if free is None:
        return Item("memory", "yellow", f"{detail}; how much is free is not known"), None
    mine = machine.resident_memory(current.torch, platform.device)
    free += mine  # what this process holds already is part of the estimate
    detail = f"{detail}, {text.size(free)} free"
    if found.total <= TIGHT * free:
        return Item("memory", "green", detail), None
    fits = estimate.largest_batch(preset, base, shape, platform, free=int(TIGHT * free), **needs)
    if found.total <= free:
        remedy = _smaller(preset, fits) if fits else _LESS
        return Item("memory", "yellow", f"{detail}: it is tight", remedy), None
    raise LoraTuiError(f"{detail}: it does not fit.", _smaller(preset, fits))


def _smaller(preset: Preset, fits: int | None) -> str:
    training = preset.training
    if fits is None:
        return f"Not even one row fits. {_LESS}"
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    fits = max(size for size in range(1, fits + 1) if batch % size == 0)
    return (
        f"Set training.per_device_train_batch_size = {fits} and "
        f"training.gradient_accumulation_steps = {batch // fits}: the result stays the same."
    )


def export(preset: Preset, tokenizer: Any, *, is_asked: bool) -> tuple[Item, None]:
    """Whether the result can become a GGUF file here, and how large it would be.

    Raises:
        LoraTuiError: it cannot, and that was asked for: training works without.
    """
    try:
        return Item("export", "green", _exported(preset, tokenizer)), None
    except LoraTuiError as error:
        if is_asked:
            raise
        return Item("export", "yellow", error.summary, error.hint), None


def _exported(preset: Preset, tokenizer: Any) -> str:
    tools = export_tools.find()
    folder = parameters.model_folder(preset.model.name_or_path, preset.model.revision)
    if folder is None:
        return f"converter and quantiser: {tools.label}"
    config = parameters.read_config(folder)
    if config.get("quantization_config"):
        raise LoraTuiError(
            "The model is quantised already, and what is trained on it cannot be merged into it.",
            "Name the 16-bit model, and set model.load_in_4bit = true.",
        )
    if unknown := export_check.unknown_architecture(config, tools):
        what, _, remedy = unknown.partition(": ")
        raise LoraTuiError(f"{what}.", f"{remedy[:1].upper()}{remedy[1:]}")
    if tokenizer is not None:
        pretokenizer.require_name(folder, tokenizer, tools.converter)
    tensors = safetensors.read_model(folder)
    sizes = ", ".join(
        f"{quant} {text.size(quantisation.plan(tensors, config, quant).bytes)}"
        for quant in ("f16", "q8_0", "q4_k_m")
    )
    return f"by {tools.label}: {sizes}"
