"""What a sweep would cost and what is in its way, before it starts: time, disk, memory, notes."""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lora_tui.core import events, halving, measured, text
from lora_tui.core.advice_rules import SCALES, STABLE_SCALES, TRL
from lora_tui.core.consequences import planned_steps
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.estimate import estimate, read_shape
from lora_tui.core.events import figure, whole
from lora_tui.core.grids import Variant
from lora_tui.core.measured import Measured
from lora_tui.core.named import missing_here
from lora_tui.core.parameters import count_trainable, read_base
from lora_tui.core.platforms import Platform
from lora_tui.core.presets import Preset, is_demo
from lora_tui.core.settings import Problem
from lora_tui.core.summary import headline
from lora_tui.core.sweeps import Asked

_KEPT = 2  # checkpoints of an ended run; one more is written before the oldest goes
_A_PARAMETER = 12  # bytes in a checkpoint: float32 and AdamW's two moments

_OF_ROWS = frozenset({"model.name_or_path", "model.revision", "model.max_seq_length"})
"""Beside [data], the keys that change what a held-out loss is measured on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run takes; what is not known is None.

    `is_rough` says that its steps were measured at another rank.
    """

    variant: Variant
    steps: int | None = None
    trainable: int | None = None
    saved: int | None = None
    memory: int | None = None
    seconds: float | None = None
    is_rough: bool = False

    @property
    def disk(self) -> int | None:
        """Bytes that its checkpoints and its result take in the end."""
        if self.trainable is None or self.saved is None:
            return None
        every, steps = self.variant.preset.training.save_steps, self.steps or 0
        kept = _KEPT if every and (not steps or steps > every) else 1
        return kept * _A_PARAMETER * self.trainable + self.saved


@dataclass(frozen=True, slots=True)
class Plan:
    """A sweep before it starts. Nothing is started while there are `problems`."""

    costs: tuple[Cost, ...] = ()
    devices: int = 1
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    free_disk: int | None = None
    free_memory: int | None = None

    @property
    def disk(self) -> int | None:
        """Bytes that all of them take, with the checkpoint that is being written."""
        sizes = [cost.disk for cost in self.costs]
        if not sizes or None in sizes:
            return None
        written = max(_A_PARAMETER * (cost.trainable or 0) for cost in self.costs)
        return sum(size or 0 for size in sizes) + written

    @property
    def seconds(self) -> float | None:
        """How long those take whose steps were measured, so many at once as there are devices."""
        known = [cost.seconds for cost in self.costs if cost.seconds is not None]
        if not known:
            return None
        ends = [0.0] * max(1, self.devices)
        for seconds in known:
            heapq.heapreplace(ends, ends[0] + seconds)
        return max(ends)

    def facts(self) -> list[tuple[str, str]]:
        """The plan in words."""
        number = len(self.costs)
        turns = f"{self.devices} at a time" if self.devices > 1 else "one after another"
        facts = [("runs", f"{number}, {turns}" if number > 1 else str(number))]
        unknown = sum(cost.seconds is None for cost in self.costs)
        if self.seconds is None:
            facts.append(("time", "unknown: no step like these was measured; check the preset"))
        else:
            is_rough = any(cost.is_rough for cost in self.costs)
            less = f", without {_runs(unknown)} that was never measured" if unknown else ""
            about = "about " if is_rough or unknown else ""
            facts.append(("time", f"{about}{text.duration(self.seconds)}{less}"))
        if self.disk is not None:
            free = f" of {text.size(self.free_disk)} free" if self.free_disk is not None else ""
            facts.append(("disk", f"{text.size(self.disk)}{free}"))
        known = [cost for cost in self.costs if cost.memory is not None]
        if known:
            most = max(known, key=lambda cost: cost.memory or 0)
            free = f" of {text.size(self.free_memory)} free" if self.free_memory else ""
            facts.append(("memory", f"{text.size(most.memory)}{free}, by {most.variant.label}"))
        return facts

    def document(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "number": len(self.costs),
            "devices": self.devices,
            "seconds": self.seconds,
            "unmeasured": sum(cost.seconds is None for cost in self.costs),
            "disk_bytes": self.disk,
            "free_disk_bytes": self.free_disk,
            "notes": list(self.notes),
            "runs": [
                {
                    "label": cost.variant.label,
                    "values": dict(cost.variant.values),
                    "trainable_parameters": cost.trainable,
                    "saved_bytes": cost.saved,
                    "memory_bytes": cost.memory,
                    "seconds": cost.seconds,
                }
                for cost in self.costs
            ],
        }


def _runs(number: int) -> str:
    return "1 run" if number == 1 else f"{number} runs"


def cost_of(variant: Variant, platform: Platform, found: list[Measured]) -> Cost:
    """What one run takes, by the model's header and by what was measured before."""
    preset = variant.preset
    rows = measured.split(found, preset)
    steps: int | None = None
    if rows or preset.training.max_steps > 0:
        steps = planned_steps(preset, rows["train_rows"] if rows else 0)
    cost = replace(_timed(Cost(variant, steps), preset, found), steps=steps)
    try:
        base = read_base(preset.model.name_or_path, preset.model.revision)
        trainable = count_trainable(base, preset, platform)
        cost = replace(cost, trainable=trainable.parameters, saved=trainable.saved_bytes)
        lengths = measured.lengths(found, preset)
        longest = preset.model.max_seq_length
        longest = min(longest, lengths["tokens"]["max"] or longest) if lengths else longest
        memory = estimate(preset, base, read_shape(base.path), platform, longest=longest).total
        return replace(cost, memory=memory)
    except LoraTuiError:  # not on this machine, or of a shape that is not known
        return cost


def _timed(cost: Cost, preset: Preset, found: list[Measured]) -> Cost:
    """With its time, by a step like its own; of a LoRA run also by one of another rank."""
    if cost.steps is None:
        return cost
    step = measured.speed(found, preset)
    if is_rough := step is None:
        alike = [one for one in found if one.preset.lora.method == preset.lora.method]
        pretended = [replace(one, preset=replace(one.preset, lora=preset.lora)) for one in alike]
        step = measured.speed(pretended, preset)
    if step is None or step.seconds_per_step is None:
        return cost
    seconds = cost.steps * step.seconds_per_step + _beside(step)
    return replace(cost, seconds=seconds, is_rough=is_rough)


def _beside(step: Measured) -> float:
    """What comes to the steps, as an earlier job took it: to load, to measure, to save.

    A check knows how long measuring takes, and loads what a run loads.
    """
    seconds, line = step.seconds_per_step or 0.0, headline(step.run)
    elapsed = line.elapsed or 0.0
    if step.source == "a run":
        return max(0.0, elapsed - line.step * seconds)
    said = next((one for one in events.read_ends(step.run.events)[1] if "seconds" in one), {})
    planned, tried = (figure(said.get(name)) or 0.0 for name in ("seconds", "trial_seconds"))
    measuring = max(0.0, planned - seconds * (whole(said.get("max_steps")) or 0))
    return measuring + max(0.0, elapsed - tried)


# --- what is to be said --------------------------------------------------------------------------


def problems_of(asked: Asked, costs: Sequence[Cost]) -> Iterator[Problem]:
    """What is wrong with halving; all else is wrong with a run."""
    if not asked.halving:
        return
    key, said = "training.eval_steps", "halving goes by held-out losses: "
    presets = [cost.variant.preset for cost in costs if not cost.variant.is_baseline]
    if any(not one.training.eval_steps for one in presets):
        yield Problem(key, f"{said}set it, so that they are measured between steps")
    elif not any(_rungs(costs)):
        yield Problem(key, f"{said}set it lower, so that one comes before the end")
    if any(
        not one.data.eval_fraction and not all(map(is_demo, one.data.sources)) for one in presets
    ):
        yield Problem("data.eval_fraction", f"{said}hold some rows out")
    for one in _keys_of_rows(asked):
        yield Problem(
            one, "changes what held-out losses are measured on: halving cannot go by them"
        )


def notes_of(asked: Asked, costs: Sequence[Cost], combinations: int) -> Iterator[str]:
    """What is good to know, in sentences."""
    yield from _about_scale(asked)
    rate = next(
        (c.variant.preset.training.learning_rate for c in costs if c.variant.is_baseline), 0
    )
    if rate:
        yield (
            f"full trains every weight, at a learning rate of {rate:g}: a tenth of the preset's, "
            f"since LoRA usually needs about ten times as much ({TRL})."
        )
    if asked.halving and (rungs := _rungs(costs)):
        where = ", ".join(map(str, rungs[:6]))
        yield (
            f"Halving: at step {where} a run goes on only if its held-out loss is among the better "
            "half of those that came there before it, itself included"
            f"{'; full is never stopped' if rate else ''}."
        )
    elif rows := list(_keys_of_rows(asked)):
        yield (
            f"{', '.join(rows)} change what held-out losses are measured on: between these runs "
            "they say little. `lora-tui compare` measures all on the same rows."
        )
    if alike := combinations - sum(not cost.variant.is_baseline for cost in costs):
        are = "is" if alike == 1 else "are"
        yield (
            f"{alike} of {combinations} combinations {are} left out: full fine-tuning reads "
            "nothing else of [lora], so it would be the same run again."
        )
    preset = asked.preset
    if missing := missing_here(preset):
        yield f"This needs the Hub: {' and '.join(missing)} {_are(missing)} not on this machine."
    if preset.model.trust_remote_code:
        yield "Python code that comes with the model will run: model.trust_remote_code is on."


def _are(what: Sequence[str]) -> str:
    return "are" if len(what) > 1 else "is"


def _keys_of_rows(asked: Asked) -> Iterator[str]:
    keys = (key for key in asked.grid if len(asked.grid[key]) > 1)
    return (key for key in keys if key.startswith("data.") or key in _OF_ROWS)


def _rungs(costs: Sequence[Cost]) -> list[int]:
    racing = [cost for cost in costs if not cost.variant.is_baseline]
    first = max((one.variant.preset.training.eval_steps for one in racing), default=0)
    longest = max((one.steps or first * 2**20 for one in racing), default=0)
    return halving.rungs(first, longest)


def _about_scale(asked: Asked) -> Iterator[str]:
    """What another rank does to the scale of the update while lora_alpha stays."""
    lora, ranks = asked.preset.lora, asked.grid.get("lora.r", ())
    if len(ranks) < 2 or lora.method == "full" or "lora.lora_alpha" in asked.grid:
        return
    is_stable = lora.use_rslora
    scales = [lora.lora_alpha / (math.sqrt(r) if is_stable else r) for r in ranks]
    name = "alpha / sqrt(r)" if is_stable else "alpha / r"
    listed = ", ".join(f"{scale:.3g}" for scale in scales)
    low, high = STABLE_SCALES if is_stable else SCALES
    odd = [str(r) for r, scale in zip(ranks, scales, strict=True) if not low <= scale <= high]
    said = f"lora_alpha stays {lora.lora_alpha:g}, so the update counts {name} = {listed} times"
    if odd:
        said += f"; outside {low:g} to {high:g} is odd: r {', '.join(odd)}"
    if not is_stable and "lora.use_rslora" not in asked.grid:
        said += ". lora.use_rslora = true scales by the root, which is steadier over ranks"
    yield f"{said}."
