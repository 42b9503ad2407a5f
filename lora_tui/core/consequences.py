"""What follows from a preset before anything runs, in figures."""

import math

from lora_tui.core import text
from lora_tui.core.data_advice import Report
from lora_tui.core.estimate import estimate, largest_batch, read_shape
from lora_tui.core.measured import Measured
from lora_tui.core.parameters import Base, Trainable
from lora_tui.core.platforms import Place
from lora_tui.core.presets import Preset

Facts = list[tuple[str, str]]

TIGHT = 0.8
"""The share of the free memory that an estimate may take: a run may take up to 10 % more than is
estimated (docs/memory.md), and other programs grow."""


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
    more = [training.gradient_accumulation_steps, preset.engine.processes]
    factors = [training.per_device_train_batch_size, *(factor for factor in more if factor > 1)]
    batch = rows_a_step(preset)
    product = " x ".join(map(str, factors))
    facts = [
        ("batch", f"{product} = {batch} rows" if len(factors) > 1 else f"{batch} rows"),
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


def planned_steps(preset: Preset, rows: int) -> int:
    """The number of steps a run on so many rows takes, by the trainer's own rule."""
    training = preset.training
    if training.max_steps > 0:
        return training.max_steps
    batches = math.ceil(rows / training.per_device_train_batch_size)
    each = math.ceil(batches / preset.engine.processes)  # the last ones are filled up
    return math.ceil(
        training.num_train_epochs * math.ceil(each / training.gradient_accumulation_steps)
    )


def rows_a_step(preset: Preset) -> int:
    """How many rows one step takes in, over all its batches and processes."""
    training = preset.training
    return (
        training.per_device_train_batch_size
        * training.gradient_accumulation_steps
        * preset.engine.processes
    )


def memory_facts(
    preset: Preset, base: Base, place: Place, rows: Report | None
) -> tuple[Facts, Facts]:
    """The memory a run takes at its peak with the largest batch that fits, and its parts.

    Several processes take it each: of a GPU of their own, or of their share of the machine's.

    `rows` is a report on the preset's data; without one, rows are taken to be as long as they may.

    Raises:
        LoraTuiError: the model's config.json does not say enough.
    """
    longest = preset.model.max_seq_length
    if rows:
        longest = min(longest, rows["tokens"]["max"]) or longest
    shape = read_shape(base.path)
    found = estimate(preset, base, shape, place.platform, longest=longest)
    parts = [(name, text.size(size)) for name, size in found.parts.items() if size]
    name = "memory each" if preset.engine.processes > 1 else "memory"
    if place.free is None:
        return [(name, text.size(found.total))], parts
    sharing = 1 if place.platform.on_gpu else preset.engine.processes
    free = place.free // sharing
    room = int(TIGHT * free)
    most = largest_batch(preset, base, shape, place.platform, longest=longest, free=room)
    fits = f"batch {most:,}" if most else "not one row"
    return [
        (name, f"{text.size(found.total)} of {text.size(free)}"),
        ("fits", fits),
    ], parts


def time_facts(preset: Preset, found: Measured | None, rows: Report | None) -> Facts:
    """How long a run takes, by a step that was measured; said so where none was."""
    if found is None or found.seconds_per_step is None:
        return [("time", "unknown until checked")]
    step = [("a step", f"{found.seconds_per_step:.3g} s by {found.source}")]
    if preset.training.max_steps < 0 and not rows:
        return step
    steps = planned_steps(preset, rows["train_rows"] if rows else 0)
    return [("time", text.duration(steps * found.seconds_per_step)), *step]
