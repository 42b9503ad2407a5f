"""What a check learns from real steps: that they work, how long a run takes, what fits."""

from collections.abc import Mapping
from typing import Any

from lora_tui.core import text
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.items import Item
from lora_tui.engine import failures, machine, models
from lora_tui.engine.data import Data
from lora_tui.engine.job import TorchJob
from lora_tui.engine.trial import Trial, Trials


def steps(current: TorchJob, tokenizer: Any, rows: Data) -> tuple[Item, tuple[Trials, Trial]]:
    """Take steps at the longest batch the data can make, and measure.

    Raises:
        LoraTuiError: a loss or a gradient is no number, or no gradient reaches what is trained.
    """
    loaded = models.load(current.preset, current.platform)
    trials = Trials(current, loaded, tokenizer, rows.train.examples, rows.held_out.examples)
    trial = trials.take(current.preset.training.per_device_train_batch_size)
    losses = ", ".join(f"{loss:.3g}" for loss in (*trial.losses, trial.eval_loss))
    if not trial.is_finite:
        raise LoraTuiError(
            f"A loss or a gradient is no number (losses {losses}; gradients "
            f"{', '.join(f'{norm:.3g}' for norm in trial.grad_norms)}).",
            "The model's weights may be damaged: fetch it again. Else lower "
            'training.learning_rate, or set model.dtype = "float32".',
        )
    if not trial.is_learning:
        raise LoraTuiError(
            "No gradient reaches what is trained: the run would change nothing.",
            "Check lora.target_modules, and that the model's weights are not all zero.",
        )
    return _fits(current, trial), (trials, trial)


def _fits(current: TorchJob, trial: Trial) -> Item:
    free = machine.free_memory(current.torch, current.platform.device)
    detail = (
        f"{len(trial.losses)} steps and an evaluation worked; {text.size(trial.peak_memory)} at "
        f"the longest batch, loss {trial.losses[0]:.3g}"
    )
    if free is not None and free < 0.1 * trial.peak_memory:
        remedy = "Lower training.per_device_train_batch_size: little memory is left."
        return Item("steps", "yellow", detail, remedy)
    return Item("steps", "green", detail)


def duration(
    current: TorchJob, rows: Data, tried: tuple[Trials, Trial]
) -> tuple[Item, Mapping[str, Any]]:
    """How long a step and the run take, from the steps just taken."""
    trial, training = tried[1], current.preset.training
    step = trial.typical_seconds * training.gradient_accumulation_steps
    batches = -(-len(rows.held_out.examples) // trial.batch)
    measured = 2 + (rows.max_steps // training.eval_steps if training.eval_steps else 0)
    whole = rows.max_steps * step + measured * batches * trial.eval_seconds
    figures = {
        "seconds_per_step": step,
        "longest_seconds_per_step": trial.longest_seconds * training.gradient_accumulation_steps,
        "seconds": whole,
        "max_steps": rows.max_steps,
        "trial_peak_memory_bytes": trial.peak_memory,
        "loss": trial.losses[0],
        "eval_loss": trial.eval_loss,
    }
    detail = (
        f"about {text.duration(whole)} for {rows.max_steps:,} steps of {step:.3g} s, measuring "
        "included"
    )
    return Item("time", "green", detail), figures


def largest(current: TorchJob, tried: tuple[Trials, Trial]) -> tuple[Item, Mapping[str, Any]]:
    """The largest batch on the device that works, at the same effective batch.

    Each divisor of the effective batch is tried, the smallest first, until one does not fit. On a
    CPU a batch that would not fit is not tried: the system would end the process.
    """
    trials, first = tried
    training = current.preset.training
    whole = training.per_device_train_batch_size * training.gradient_accumulation_steps
    taken = {first.batch: first}
    why = "the effective batch is no larger"
    for size in (size for size in range(1, whole + 1) if whole % size == 0):
        current.stop.check()
        current.emit("looking", name=f"batch {size}")
        if size in taken:
            continue
        if _would_not_fit(current, size, taken):
            why = f"{size} would not fit"
            break
        try:
            taken[size] = trials.take(size)
        except Exception as error:  # out of memory has many names
            why = f"{size}: {failures.explain(error)[0]}"
            break
    best = max(taken)
    fastest = min(taken, key=lambda size: taken[size].typical_seconds / size)
    changes = {
        "training.per_device_train_batch_size": best,
        "training.gradient_accumulation_steps": whole // best,
    }
    found = {
        "per_device_train_batch_size": best,
        "gradient_accumulation_steps": whole // best,
        "fastest": fastest,
        "tried": [_figures(current, taken[size], whole) for size in sorted(taken)],
    }
    detail = (
        f"{best} x {whole // best} is the largest that works ({why}); "
        f"{fastest} x {whole // fastest} is the fastest, "
        f"{_seconds(taken[fastest], whole):.3g} s a step"
    )
    differs = best != training.per_device_train_batch_size
    return Item("batch", "green", detail, changes=changes if differs else {}), found


def _seconds(trial: Trial, whole: int) -> float:
    return trial.typical_seconds * whole / trial.batch


def _figures(current: TorchJob, trial: Trial, whole: int) -> dict[str, Any]:
    """What one batch showed; on a CPU the peak holds what earlier ones left in the heap."""
    found = {
        "per_device_train_batch_size": trial.batch,
        "seconds_per_step": _seconds(trial, whole),
    }
    on_gpu = {"trial_peak_memory_bytes": trial.peak_memory} if current.platform.on_gpu else {}
    return {**found, **on_gpu}


def _would_not_fit(current: TorchJob, size: int, taken: Mapping[int, Trial]) -> bool:
    """Whether `size` needs more than there is, by how memory grew up to the largest tried."""
    smaller = [trial for trial in taken.values() if trial.batch < size]
    if current.platform.on_gpu or not smaller:
        return False
    most = max(smaller, key=lambda trial: trial.batch)
    resident = machine.resident_memory(current.torch, current.platform.device)
    free = machine.free_memory(current.torch, current.platform.device)
    grows = max(0, most.peak_memory - resident) * size / most.batch
    return free is not None and grows > 0.9 * free
