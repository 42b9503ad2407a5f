"""Rules about what became of a run: its course, and how it compares with others."""

import math
from collections.abc import Sequence
from statistics import mean, median, variance

from lora_tui.core import advice_remedies as remedies
from lora_tui.core import text
from lora_tui.core.advice_facts import Known
from lora_tui.core.advice_remedies import MODULES, RANK, RATE, STEPS, Remedy
from lora_tui.core.advice_rules import OWN, TRL, Rule, Said
from lora_tui.core.metrics import Snapshot
from lora_tui.core.series import Points, smoothed

WINDOW, PATIENCE = 50, 10
LEAST_FALL = 0.02  # nats of the train loss, or above the best held-out loss
LEAST_GAIN = 0.01  # nats of the held-out loss
LEARNT_BY_HEART, APART = 0.2, 0.5
JUDGED_FROM = 50
_FEWEST_POINTS = 10


def _diverged(known: Known) -> Said | None:
    run = known.run
    if run is None:
        return None
    if run.odd_losses:
        what = "The loss was no number"
    elif run.telling == "failed" and run.grad_norm is not None and not math.isfinite(run.grad_norm):
        what = "The gradient was no number"
    elif _exploded([loss for _, loss in run.curves.get("loss", ())]):
        what = "The loss rose to twice what it was and stayed there"
    else:
        return None
    changes = dict(remedies.lower_rate(known))
    if not known.preset.training.stop_on_divergence:
        changes["training.stop_on_divergence"] = True
    return (
        f"{what}: stop, and keep the last good checkpoint. A third of the learning rate is a good "
        "try; a longer warmup helps too, and odd rows are worth a look.",
        changes,
    )


def _exploded(losses: Sequence[float]) -> bool:
    """Whether the latest ten are all above twice the median of the fifty before them."""
    before, latest = losses[-WINDOW - PATIENCE : -PATIENCE], losses[-PATIENCE:]
    if len(before) < WINDOW:
        return False
    usual = median(before)
    return min(latest) > max(2 * usual, usual + 0.1)  # twice almost nothing is almost nothing


def _overfitting(known: Known) -> Said | None:
    run = known.run
    if run is None or run.eval_best is None or run.eval_best_step is None:
        return None
    after = [loss for step, loss in run.evals if step > run.eval_best_step][-2:]
    if len(after) < 2 or min(after) <= run.eval_best + LEAST_FALL:
        return None
    line = smoothed(run.curves.get("loss", ()))
    before = next((loss for step, loss in reversed(line) if step <= run.eval_best_step), None)
    if not line or line[-1][1] >= (line[0][1] if before is None else before):
        return None
    return (
        f"The held-out loss rises since step {run.eval_best_step:,} while the train loss falls: it "
        f"overfits. It was best there, at {text.number(run.eval_best)}.",
        remedies.earlier_end(known),
    )


def _memorising(known: Known) -> Said | None:
    run = known.run
    line = smoothed(run.curves.get("loss", ())) if run else ()
    if run is None or run.eval_loss is None or not line:
        return None
    loss = line[-1][1]
    if loss >= LEARNT_BY_HEART or not run.eval_loss > loss + APART:
        return None
    return (
        f"The train loss is {text.number(loss)}, the held-out loss {text.number(run.eval_loss)}: "
        "it learns the rows by heart. Fewer steps or more rows help.",
        remedies.earlier_end(known),
    )


def _equals_base(known: Known) -> Said | None:
    if not known.equals_base:
        return None
    said, changes = _likeliest(known, RATE, RANK, MODULES, STEPS)
    return f"The adapter changes nothing: it answers as the base does. {said}", changes


def _likeliest(known: Known, *offered: Remedy) -> Said:
    """The likeliest remedy, without those that another finding speaks against."""
    out: list[Remedy] = []
    if _rank_not_the_limit(known):
        out.append(RANK)
    if _overfitting(known) or _memorising(known):
        out.append(STEPS)
    return remedies.first_of(known, *(one for one in offered if one not in out))


def _not_learning(known: Known) -> Said | None:
    run = known.run
    points = run.curves.get("loss", ()) if run else ()
    if run is None or run.step < JUDGED_FROM or len(points) < _FEWEST_POINTS:
        return None
    fifth = len(points) // 5
    first, last = _mean(points[:fifth]), _mean(points[-fifth:])
    if last <= first - LEAST_FALL or _gained(run):
        return None
    said, changes = _likeliest(known, RANK, RATE, MODULES, STEPS)
    return (
        f"The loss has not fallen in {run.step:,} steps: from {text.number(first)} to "
        f"{text.number(last)}. {said}",
        changes,
    )


def _gained(run: Snapshot) -> bool:
    """Whether the held-out loss, which is less noisy, tells of learning."""
    if run.eval_first is None or run.eval_best is None:
        return False
    return run.eval_best < run.eval_first - LEAST_GAIN


def _worse_than_full(known: Known) -> Said | None:
    own, full = known.own_loss, known.full_loss
    if not known.is_lora or own is None or full is None or not own > full + LEAST_FALL:
        return None
    said, changes = _likeliest(known, MODULES, RANK, RATE, STEPS)
    return (
        f"Its held-out loss is {text.number(own)}, full fine-tuning's {text.number(full)}. {said}",
        changes,
    )


def _rank_not_the_limit(known: Known) -> Said | None:
    own, r = known.own_loss, known.preset.lora.r
    if not known.is_lora or own is None or known.lower_rank is None:
        return None
    rank, loss = known.lower_rank
    if r < 4 * rank or not loss - own < LEAST_GAIN:
        return None
    return (
        f"Rank {r} is no better than rank {rank}: {text.number(own)} against {text.number(loss)}. "
        "The rank is not the limit; a learning rate is worth more tries.",
        remedies.rank(known, rank),
    )


def _still_falling(known: Known) -> Said | None:
    run = known.run
    if run is None or run.telling != "finished" or run.step < (run.max_steps or 1):
        return None
    if not (_fell(run.evals) if len(run.evals) > 2 else _slopes(run.curves.get("loss", ()))):
        return None
    return (
        "The loss was still falling when the run ended: more steps would have gone on.",
        remedies.more_steps(known),
    )


def _fell(evals: Points) -> bool:
    """Whether the last measurement is clearly below the one before it."""
    return evals[-1][1] < evals[-2][1] - LEAST_FALL


def _slopes(points: Points) -> bool:
    """Whether the last fifth is below the one before it by more than noise makes."""
    fifth = len(points) // 5
    if fifth < 5:
        return False
    before, last = (
        [loss for _, loss in part] for part in (points[-2 * fifth : -fifth], points[-fifth:])
    )
    noise = math.sqrt((variance(before) + variance(last)) / fifth)
    return mean(before) - mean(last) > max(LEAST_FALL, 2 * noise)


def _mean(points: Points) -> float:
    return mean(loss for _, loss in points)


_FOUND = ("diverged", "equals base")

RULES = (
    Rule(
        "diverged",
        "NaN, infinite, exactly 0 (loss or gradient), back to guessing, or above twice the median "
        "of 50 steps for 10",
        OWN,
        _diverged,
    ),
    Rule(
        "overfitting",
        "the last two held-out losses 0.02 above the best, the train loss falling",
        "early stopping's usual form; 0.02 is lora-tui's own",
        _overfitting,
        ("diverged",),
    ),
    Rule(
        "memorising",
        "the train loss below 0.2, the held-out loss more than 0.5 above it",
        "Unsloth, LoRA guide; 0.5 is lora-tui's own",
        _memorising,
        ("diverged", "overfitting"),
    ),
    Rule(
        "equals base",
        "a comparison found that the adapter changes nothing",
        OWN,
        _equals_base,
        ("diverged",),
    ),
    Rule(
        "not learning",
        "after 50 steps the loss has fallen by less than 0.02",
        OWN,
        _not_learning,
        _FOUND,
    ),
    Rule(
        "worse than full",
        "a held-out loss 0.02 above full fine-tuning's on the same rows",
        f"{TRL}; 0.02 is lora-tui's own",
        _worse_than_full,
        (*_FOUND, "overfitting", "memorising", "not learning"),
    ),
    Rule(
        "rank not the limit",
        "four times the rank gained less than 0.01 of held-out loss",
        "Tinker, LoRA primer",
        _rank_not_the_limit,
        ("diverged",),
    ),
    Rule(
        "still falling",
        "finished while the loss was falling by more than 0.02",
        OWN,
        _still_falling,
        ("diverged", "overfitting", "memorising", "many epochs"),
    ),
)
