"""Changes of a preset that rules offer; empty where there is no more room for one."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lora_tui.core.advice_facts import MOST_EPOCHS, Known
from lora_tui.core.presets import PROJECTIONS

Changes = Mapping[str, Any]
NONE: Changes = {}

_ATTENTION = frozenset(
    {"q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "out_proj", "query_key_value", "Wqkv"}
    | {"query", "key", "value", "c_attn"}
)
_MUCH = 2.5
USUAL_RATE = 2e-4


def rank(known: Known, r: int) -> Changes:
    """Another rank; the update counts alpha / r times as before."""
    lora = known.preset.lora
    if lora.use_rslora:  # its scale is meant to be the same at every rank
        return {"lora.r": r}
    return {"lora.r": r, "lora.lora_alpha": lora.lora_alpha * r / lora.r}


def higher_rank(known: Known, wanted: float | None = None) -> Changes:
    """A higher rank: the wanted one or twice the present, as far as there is room."""
    r = known.preset.lora.r
    wanted_r = 2 * r if wanted is None else 8 * math.ceil(wanted / 8)
    new = min(wanted_r, known.rank_room)
    return rank(known, new) if known.is_lora and new > r else NONE


def higher_rate(known: Known) -> Changes:
    """About the next learning rate of a sweep: 2e-4, 5e-4, 1e-3."""
    rate = known.preset.training.learning_rate
    wanted = max(float(f"{_MUCH * rate:.1g}"), USUAL_RATE if known.is_lora else 0.0)
    new = min(wanted, known.highest_rate)
    return {"training.learning_rate": new} if new > rate else NONE


def lower_rate(known: Known) -> Changes:
    """A third, or what is usual if that is lower still."""
    rate = float(f"{known.preset.training.learning_rate / 3:.1g}")
    return {"training.learning_rate": min(rate, known.highest_rate)}


def is_attention_only(known: Known) -> bool:
    """Whether no other layers get an adapter."""
    targets = known.preset.lora.target_modules
    if isinstance(targets, str) or not known.is_lora:
        return False
    return all(name.rpartition(".")[2] in _ATTENTION for name in targets)


def more_modules(known: Known) -> Changes:
    """All seven projections, or every linear layer where they go by other names."""
    targets = known.preset.lora.target_modules
    if isinstance(targets, str) or not known.is_lora or set(targets) >= set(PROJECTIONS):
        return NONE
    usual = set(targets) <= set(PROJECTIONS)
    return {"lora.target_modules": list(PROJECTIONS) if usual else "all-linear"}


def more_steps(known: Known, wanted: int | None = None) -> Changes:
    """So many steps, or twice as many; never more than three epochs where the rows are known."""
    training, rows = known.preset.training, known.train_rows
    if training.max_steps > 0:
        steps = wanted or 2 * training.max_steps
        if rows:
            steps = min(steps, int(MOST_EPOCHS * rows / known.batch))
        return {"training.max_steps": steps} if steps > training.max_steps else NONE
    epochs = 2 * training.num_train_epochs
    if wanted and known.steps:
        epochs = training.num_train_epochs * wanted / known.steps
    epochs = min(float(math.ceil(epochs)), MOST_EPOCHS)
    return {"training.num_train_epochs": epochs} if epochs > training.num_train_epochs else NONE


def fewer_epochs(known: Known) -> Changes:
    """Three."""
    if known.preset.training.max_steps < 0:
        return {"training.num_train_epochs": MOST_EPOCHS}
    steps = max(1, int(MOST_EPOCHS * (known.train_rows or 0) / known.batch))
    return {"training.max_steps": steps} if steps < known.preset.training.max_steps else NONE


def earlier_end(known: Known) -> Changes:
    """Early stopping; where it is on already, or nothing can be held out, the best step."""
    training, run = known.preset.training, known.run
    if not training.early_stopping_patience and known.can_hold_out:
        every = training.eval_steps or max(1, (known.steps or 0) // 10)
        return {"training.early_stopping_patience": 2, "training.eval_steps": every}
    best = run.eval_best_step if run else None
    is_earlier = best and (training.max_steps < 0 or best < training.max_steps)
    return {"training.max_steps": best} if is_earlier else NONE


def smaller_batch(known: Known, most: int) -> Changes:
    """At most `most` rows a step: less accumulation first, then fewer rows at once."""
    processes = known.preset.engine.processes
    rows = known.preset.training.per_device_train_batch_size
    accumulated = known.preset.training.gradient_accumulation_steps
    fewer = max(1, min(rows, most // processes))
    less = max(1, min(accumulated, most // (fewer * processes)))
    changes = {}
    if less != accumulated:
        changes["training.gradient_accumulation_steps"] = less
    if fewer != rows:
        changes["training.per_device_train_batch_size"] = fewer
    return changes


def narrower_batch(known: Known, most: int) -> Changes:
    """Fewer rows at once; accumulation makes up for it in batches that are not too big anyway."""
    rows = known.preset.training.per_device_train_batch_size
    accumulated = known.preset.training.gradient_accumulation_steps
    fewer = next((one for one in range(rows // 2, 0, -1) if rows % one == 0), rows)
    if fewer == rows:
        return NONE
    changes = {"training.per_device_train_batch_size": fewer}
    if known.batch <= most:
        changes["training.gradient_accumulation_steps"] = accumulated * rows // fewer
    return changes


Remedy = tuple[str, Callable[[Known], Changes]]

RANK: Remedy = ("a higher rank", higher_rank)
RATE: Remedy = ("a higher learning rate", higher_rate)
MODULES: Remedy = ("an adapter on all layers", more_modules)
STEPS: Remedy = ("more steps", more_steps)


def first_of(known: Known, *remedies: Remedy) -> tuple[str, Changes]:
    """The first remedy that there is room for, and in words the others, likeliest first."""
    found = [(name, changes) for name, remedy in remedies if (changes := remedy(known))]
    if not found:
        return (
            "There is no more room in rank, learning rate, layers or steps: look at the data.",
            NONE,
        )
    names = [name for name, _ in found]
    others = f"; then {', '.join(names[1:])}" if len(names) > 1 else ""
    return f"Try {names[0]} first{others}.", found[0][1]
