"""What is known of presets and runs that advice is given on: plain ones, and ones with a change."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lora_tui.core.advice import Known
from lora_tui.core.metrics import History, Snapshot
from lora_tui.core.parameters import Trainable
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset

A_RANK, SMOLLM = 305_280, 134_515_008
BILLION = 10**9
GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"
PLAIN = changed(Preset(name="plain"), {"training.max_steps": 300})
REPORT = {"train_rows": 950, "eval_rows": 50, "kept": 1000, "trained_tokens": 10_000}


def trains(total: int = SMOLLM, r: int = 16) -> Trainable:
    return Trainable(r * A_RANK, total, 4 * r * A_RANK, 210)


def known(values: Mapping[str, Any] | None = None, **more: Any) -> Known:
    """What is known of a preset without any oddity, but for `values`."""
    return Known(changed(PLAIN, dict(values or {})), **more)


def ran(
    losses: Iterable[float],
    evals: Mapping[int, float] | None = None,
    *,
    most: int | None = None,
    final: str = "",
    **data: Any,
) -> Snapshot:
    """A run with one loss a step, and held-out losses by step."""
    events: list[dict[str, Any]] = [{"kind": "started", "t": 0.0}]
    if data:
        events.append({"kind": "data", **data})
    points = list(losses)
    measured = dict(evals or {})
    events += [{"kind": "eval", "step": 0, "loss": measured[0]}] if 0 in measured else []
    for step, loss in enumerate(points, 1):
        events.append({"kind": "step", "step": step, "loss": loss})
        if step in measured:
            events.append({"kind": "eval", "step": step, "loss": measured[step]})
    if final:
        events.append({"kind": final, "step": len(points)})
    if most:
        events.append({"kind": "stopping", "max_steps": most})
    history = History()
    history.fold(events)
    return history.snapshot()


def falls(steps: int, first: float = 2.0, last: float = 1.0) -> list[float]:
    return [first + (last - first) * step / steps for step in range(steps)]


def learns(steps: int, last: float = 1.0) -> list[float]:
    """A loss that falls and then stays: nothing to say about."""
    return [*falls(steps // 2, 2.0, last), *([last] * (steps - steps // 2))]
