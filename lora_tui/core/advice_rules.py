"""Rules about the learning rate and the adapter: when to say what, and which change helps."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from lora_tui.core import advice_remedies as remedies
from lora_tui.core import text
from lora_tui.core.advice_facts import (
    LARGEST_SHARE,
    Known,
)
from lora_tui.core.advice_remedies import NONE, Changes

Said = tuple[str, Changes]

OWN = "lora-tui's own rule"
TRL = "TRL, lora_without_regret.md"
DISTURBED = ("diverged", "overfitting", "memorising")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule as data.

    `when` is its condition in words and `source` who says so. `say` gives the advice and its
    remedy, or None where the condition does not hold or is not known to. It is silent where one of
    the rules in `unless` speaks: that one says more, or would change the same the other way.
    """

    name: str
    when: str
    source: str
    say: Callable[[Known], Said | None]
    unless: tuple[str, ...] = ()


LOW_RATE, HIGH_RATE, HIGH_RATE_LARGE, SLOW_RATE = 5e-5, 2e-3, 1e-3, 2e-4
SLOW_STEPS = 300
LARGE_BATCH, HUGE_BATCH = 32, 128
STABLE_FROM = 64
SCALES, STABLE_SCALES = (0.25, 4.0), (0.25, 8.0)


def _written(rate: float) -> str:
    """A learning rate as recipes write it: 2e-4."""
    mantissa, exponent = f"{rate:.2e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def _rate_too_low(known: Known) -> Said | None:
    rate = known.preset.training.learning_rate
    if not known.is_lora or rate >= LOW_RATE:
        return None
    return (
        f"{_written(rate)} is a learning rate for full fine-tuning. LoRA usually needs about "
        "ten times that: most published recipes use 2e-4.",
        {"training.learning_rate": remedies.USUAL_RATE},
    )


def _rate_too_high(known: Known) -> Said | None:
    rate = known.preset.training.learning_rate
    if rate <= HIGH_RATE:
        return None
    return (
        f"With a learning rate of {_written(rate)} some runs diverge: in published sweeps five "
        "did at 2e-3 and 4e-3.",
        {"training.learning_rate": known.highest_rate},
    )


def _rate_high_for_size(known: Known) -> Said | None:
    rate = known.preset.training.learning_rate
    if rate <= HIGH_RATE_LARGE or not known.is_large:
        return None
    return (
        f"{_written(rate)} is above every optimum swept for models this large; it was 3e-4 at "
        "8 and at 70 billion parameters.",
        {"training.learning_rate": known.highest_rate},
    )


def _rate_may_be_slow(known: Known) -> Said | None:
    rate, steps = known.preset.training.learning_rate, known.steps
    if not known.is_lora or not known.is_small or rate > SLOW_RATE:
        return None
    if steps is None or steps >= SLOW_STEPS:
        return None
    return (
        f"A small model in {steps} steps may learn slowly at {_written(rate)}. Compare runs at "
        "2e-4, 5e-4 and 1e-3: for 1 to 3 billion parameters sweeps found 1e-3.",
        {"training.learning_rate": 5e-4},
    )


def _rank_may_limit(known: Known) -> Said | None:
    tokens, trainable = known.unique_tokens, known.trainable
    if not known.is_lora or tokens is None or trainable is None or tokens <= trainable.parameters:
        return None
    wanted = tokens / (trainable.parameters / known.preset.lora.r)
    said = (
        f"It trains on {text.count(tokens)} different tokens, the adapter has "
        f"{text.count(trainable.parameters)} parameters: its rank may limit what it learns. "
    )
    changes = remedies.higher_rank(known, wanted)
    if wanted <= known.rank_room:
        return f"{said}Rank {changes['lora.r']} has as many.", changes
    return (
        f"{said}As many need a rank of {wanted:,.0f}, more than is of use: {known.rank_room} is, "
        "and a comparison with full fine-tuning.",
        changes,
    )


def _large_adapter(known: Known) -> Said | None:
    if known.share is None or known.share <= LARGEST_SHARE:
        return None
    said = f"The adapter has {text.share(known.share)} of the base's parameters"
    if known.is_small and not known.preset.model.load_in_4bit:
        return (
            f"{said}: full fine-tuning takes little more time a step, and learns more.",
            {"lora.method": "full"},
        )
    room = known.rank_room
    changes = remedies.rank(known, room) if room else NONE
    return f"{said}; a rank of {room} keeps it to a tenth, and is seldom the limit.", changes


def _attention_only(known: Known) -> Said | None:
    if not remedies.is_attention_only(known):
        return None
    return (
        "Only attention layers get an adapter. Add those of the MLP before anything else: a higher "
        "rank does not make up for them.",
        remedies.more_modules(known),
    )


def _large_batch(known: Known) -> Said | None:
    if not known.is_lora or known.batch <= LARGE_BATCH:
        return None
    how = "far more than" if known.batch > HUGE_BATCH else "more than"
    return (
        f"A step takes {known.batch:,} rows, {how} {LARGE_BATCH}: LoRA tolerates large batches "
        "less than full fine-tuning does, at any rank.",
        remedies.smaller_batch(known, LARGE_BATCH),
    )


def _odd_scale(known: Known) -> Said | None:
    lora = known.preset.lora
    root = math.sqrt(lora.r)
    scale = lora.lora_alpha / (root if lora.use_rslora else lora.r)
    low, high = STABLE_SCALES if lora.use_rslora else SCALES
    if not known.is_lora or low <= scale <= high:
        return None
    name = "alpha / sqrt(r)" if lora.use_rslora else "alpha / r"
    said = f"The update counts {scale:.3g} times ({name}); {low:g} to {high:g} is usual."
    stable_low, stable_high = STABLE_SCALES
    if lora.use_rslora:
        return said, {"lora.lora_alpha": round(2 * root, 1)}
    if lora.r >= STABLE_FROM and stable_low <= lora.lora_alpha / root <= stable_high:
        return (
            f"{said} At ranks this high rsLoRA is steadier: it counts {lora.lora_alpha / root:.3g} "
            "times then.",
            {"lora.use_rslora": True},
        )
    return said, {"lora.lora_alpha": float(lora.r)}


RULES = (
    Rule(
        "rate too low",
        "LoRA, training.learning_rate below 5e-5",
        f"{TRL}; axolotl's LoRA examples",
        _rate_too_low,
        ("diverged",),
    ),
    Rule(
        "rate too high",
        "training.learning_rate above 2e-3",
        "Tinker cookbook, sft_sweep.md",
        _rate_too_high,
        ("diverged",),
    ),
    Rule(
        "rate high for size",
        "training.learning_rate above 1e-3, 7 billion parameters or more",
        "Tinker cookbook, hyperparam_utils.py",
        _rate_high_for_size,
        ("diverged", "rate too high"),
    ),
    Rule(
        "rate may be slow",
        "LoRA, below 2 billion parameters, at most 2e-4, fewer than 300 steps",
        "Tinker cookbook's sweeps; SmolLM2's own scripts",
        _rate_may_be_slow,
        (*DISTURBED, "rate too low"),
    ),
    Rule(
        "rank may limit",
        "more different trained tokens than parameters in the adapter",
        "Tinker, LoRA primer",
        _rank_may_limit,
        (*DISTURBED, "rank not the limit", "large adapter"),
    ),
    Rule(
        "large adapter",
        "more than 10 % of the base's parameters in the adapter",
        OWN,
        _large_adapter,
    ),
    Rule(
        "attention only",
        "LoRA on attention layers alone",
        f"{TRL}; arXiv 2405.09673",
        _attention_only,
    ),
    Rule(
        "large batch",
        "LoRA, more than 32 rows a step; strongly put above 128",
        f"{TRL}; 128 is {OWN}",
        _large_batch,
    ),
    Rule(
        "odd scale",
        "lora_alpha / r outside 0.25 to 4; with rsLoRA, alpha / sqrt(r) outside 0.25 to 8",
        "axolotl's range, NeMo, PEFT; 8 is lora-tui's own",
        _odd_scale,
    ),
)
