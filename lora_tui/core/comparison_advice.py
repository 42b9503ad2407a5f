"""What a comparison knows of one of its runs, for advice on that run's preset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import comparison_table
from lora_tui.core.advice import Advice, advice
from lora_tui.core.advice_facts import Known
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.errors import BadInput
from lora_tui.core.events import figure
from lora_tui.core.metrics import Snapshot
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import read_snapshot


def advices(comparison: Comparison, column: Column) -> tuple[Preset, list[Advice]]:
    """A run's preset, and what to advise on it, once it is known how others did beside it.

    Raises:
        LoraTuiError: the run was deleted, or its preset cannot be read.
    """
    run = Run(Path(column.member.run))
    if not column.member.run or not run.path.is_dir():
        raise BadInput(f"The run of {column.member.name} was deleted.", "Its preset is gone too.")
    preset = load(run.preset)
    return preset, advice(known(comparison, column, preset, read_snapshot(run)))


def known(comparison: Comparison, column: Column, preset: Preset, run: Snapshot) -> Known:
    """What the run tells, and what those that were measured beside it add."""
    return Known.of_run(
        preset,
        run,
        held_out_loss=_loss(column),
        full_loss=_full_loss(comparison, column),
        equals_base=comparison_table.equals_base(column),
        lower_rank=_lower_rank(comparison, column),
    )


def _loss(column: Column) -> float | None:
    return figure(column.figure("held_out_loss"))


def _full_loss(comparison: Comparison, column: Column) -> float | None:
    """The least loss of full fine-tuning of the same base on the same data."""
    losses = [
        loss
        for one in comparison.columns
        if one.member.method == "full"
        and one is not column
        and comparison.base_of(one) is comparison.base_of(column)
        and one.preset.get("data") == column.preset.get("data")
        and (loss := _loss(one)) is not None
    ]
    return min(losses, default=None)


def _lower_rank(comparison: Comparison, column: Column) -> tuple[int, float] | None:
    """The best run among those that are the same but for a lower rank, and the alpha with it."""
    rank = _rank(column)
    found = [
        (loss, lower)
        for one in comparison.columns
        if rank is not None
        and (lower := _rank(one)) is not None
        and lower < rank
        and _without_rank(one.preset) == _without_rank(column.preset)
        and (loss := _loss(one)) is not None
    ]
    if not found:
        return None
    loss, lower = min(found)
    return lower, loss


def _rank(column: Column) -> int | None:
    rank = column.preset.get("lora", {}).get("r")
    return rank if column.member.method == "lora" and isinstance(rank, int) else None


def _without_rank(preset: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in preset.items() if key not in {"name", "description"}}
    lora = {
        key: value for key, value in kept.get("lora", {}).items() if key not in {"r", "lora_alpha"}
    }
    return {**kept, "lora": lora}
