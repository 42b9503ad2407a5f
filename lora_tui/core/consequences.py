"""What follows from a preset before anything runs: figures, and what has to be fetched."""

import math

from lora_tui.core import locations, text
from lora_tui.core.parameters import Trainable, model_folder
from lora_tui.core.presets import Preset, is_demo

Facts = list[tuple[str, str]]


def size_facts(preset: Preset, trainable: Trainable) -> Facts:
    """What is trained and what the result weighs, counted from the model's own header."""
    kept = "adapter" if preset.lora.method == "lora" else "model"
    trained, total = text.count(trainable.parameters), text.count(trainable.total)
    return [
        ("trains", f"{trained} of {total}"),
        ("share", text.share(trainable.share)),
        ("layers", text.number(trainable.layers)),
        (kept, text.size(trainable.saved_bytes)),
    ]


def step_facts(preset: Preset) -> Facts:
    """What a step and the whole run take in."""
    training, lora = preset.training, preset.lora
    factors = [
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        preset.engine.processes,
    ]
    batch = math.prod(factors)
    product = " x ".join(str(factor) for factor in factors if factor > 1)
    facts = [
        ("batch", f"{product} = {batch} rows" if " x " in product else f"{batch} rows"),
        ("tokens/step", f"up to {text.number(batch * preset.model.max_seq_length)}"),
    ]
    if training.max_steps > 0:
        facts.append(("steps", text.number(training.max_steps)))
    else:
        facts.append(("epochs", f"{training.num_train_epochs:g}"))
    if lora.method == "lora":
        divisor = math.sqrt(lora.r) if lora.use_rslora else lora.r
        name = "alpha/sqrt(r)" if lora.use_rslora else "alpha/r"
        facts.append((name, f"{lora.lora_alpha / divisor:.3g}"))
    return facts


def missing_here(preset: Preset) -> list[str]:
    """What the preset names that is not on this machine: the Hub has to give it."""
    missing = []
    if model_folder(preset.model.name_or_path, preset.model.revision) is None:
        missing.append(f"the model {preset.model.name_or_path}")
    missing += [f"the data {source}" for source in preset.data.sources if not _is_here(source)]
    return missing


def _is_here(source: str) -> bool:
    return is_demo(source) or locations.local_path(source) is not None or _is_cached(source)


def _is_cached(source: str) -> bool:
    folder = f"datasets--{source.partition(':')[0].replace('/', '--')}"
    return (locations.hub_cache() / folder / "snapshots").is_dir()
