"""Rules about how much is trained on, and how: rows, epochs, steps, padding."""

from lora_tui.core import advice_remedies as remedies
from lora_tui.core import text
from lora_tui.core.advice_facts import MOST_EPOCHS, Known
from lora_tui.core.advice_remedies import NONE
from lora_tui.core.advice_rules import DISTURBED, LARGE_BATCH, OWN, STABLE_FROM, Rule, Said
from lora_tui.core.events import figure
from lora_tui.core.locations import local_path
from lora_tui.core.presets import is_demo

FEW_STEPS, ENOUGH_STEPS = 100, 200
MANY_ROWS = 100_000
MUCH_PADDING = 0.5


def _much_data(known: Known) -> Said | None:
    rows, r = known.seen_rows, known.preset.lora.r
    if not known.is_lora or rows is None or rows <= MANY_ROWS or r >= STABLE_FROM:
        return None
    changes = remedies.higher_rank(known, STABLE_FROM)
    if not changes:
        return None
    return (
        f"It trains on {rows:,} rows, and on large data LoRA learns less than full fine-tuning: "
        f"give it a rank of {changes['lora.r']}, and compare.",
        changes,
    )


def _many_epochs(known: Known) -> Said | None:
    if known.epochs is None or known.epochs <= MOST_EPOCHS:
        return None
    return (
        f"It passes over the rows {known.epochs:.3g} times; 1 to 3 times is usual, and more often "
        "learns them by heart.",
        remedies.fewer_epochs(known),
    )


def _few_steps(known: Known) -> Said | None:
    if known.steps is None or known.steps >= FEW_STEPS:
        return None
    return (
        f"{known.steps} steps are a first look: too few to judge by, or to compare with others.",
        remedies.more_steps(known, ENOUGH_STEPS),
    )


def _no_held_out_rows(known: Known) -> Said | None:
    data = known.preset.data
    if known.eval_rows is not None:
        none_held_out = known.eval_rows == 0
    else:  # a folder may bring its own
        own = (is_demo(name) or _is_folder(name) for name in data.sources)
        none_held_out = data.eval_fraction == 0 and not any(own)
    if not none_held_out:
        return None
    wanted = 0.05 if data.eval_fraction < 0.05 else 0.2
    return (
        "No row is held out: whether it learns or only memorises cannot be seen.",
        {"data.eval_fraction": wanted} if wanted > data.eval_fraction else NONE,
    )


def _is_folder(name: str) -> bool:
    path = local_path(name)
    return path is not None and path.is_dir()


def _much_padding(known: Known) -> Said | None:
    share = figure(known.report.get("padding_share")) if known.report else None
    changes = remedies.narrower_batch(known, LARGE_BATCH)
    if share is None or not share > MUCH_PADDING or not changes:
        return None
    return (
        f"{text.share(share)} of what "
        f"{'a GPU computes' if known.preset.training.padding_free else 'is computed'} is padding: "
        "rows of very different lengths share a batch. Fewer at once waste less.",
        changes,
    )


RULES = (
    Rule(
        "much data",
        "LoRA of a rank below 64, trained on more than 100,000 rows",
        f"Tinker, LoRA primer; the number is {OWN}",
        _much_data,
        (*DISTURBED, "rank not the limit", "large adapter", "rank may limit"),
    ),
    Rule("many epochs", "more than 3 epochs", "Unsloth, LoRA guide", _many_epochs),
    Rule(
        "few steps",
        "fewer than 100 steps",
        OWN,
        _few_steps,
        (*DISTURBED, "still falling"),
    ),
    Rule("no held-out rows", "no row is held out", OWN, _no_held_out_rows),
    Rule("much padding", "more than half of what is computed is padding", OWN, _much_padding),
)
