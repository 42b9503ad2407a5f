"""Sweeps as engines leave them, without engines: runs whose events are written by hand."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lora_tui.core import runs, sweeps
from lora_tui.core.preset_files import find
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.sweeps import Asked, Sweep

NOON = 1_795_435_920.0  # 2026-11-23 12:12 UTC
RANKS = (8, 16, 32, 64)
LOSSES = {"r8": 1.402, "r16": 1.318, "r32": 1.301, "r64": 1.297, "full": 1.254}
TRAINABLE = {"r8": 155_648, "r16": 311_296, "r32": 622_592, "r64": 1_245_184, "full": 3_672_320}
BASE_LOSS = 2.911


def asked(preset: Preset | None = None, **how: Any) -> Asked:
    """The usual ranks of the demo."""
    given = {"grid": {"lora.r": RANKS}, "name": "ranks", **how}
    return Asked(preset=preset or find("demo"), **given)


def made(wanted: Asked) -> Sweep:
    """The sweep's folder and its runs, none of which began."""
    path = sweeps.claim(wanted.name)
    pairs = []
    for one in wanted.variants:
        options = {"sweep": path.name, "values": dict(one.values)}
        name = f"{wanted.name}-{one.label}"
        pairs.append((one, runs.create(one.preset, name=name, options=options)))
    return sweeps.write(path, wanted, pairs, "lora-tui")


def told(
    run: Run,
    losses: Mapping[int, float],
    *,
    label: str = "r8",
    start: float = 0.0,
    most: int = 120,
    final: str = "finished",
    **last: Any,
) -> None:
    """A run's events: its first step to its last, a second each, and what it measured between."""
    is_full = label == "full"
    share = TRAINABLE[label] / TRAINABLE["full"]
    say(run, start, "launched", pid=4242, host="here", verb="train")
    say(run, start + 1, "started", backend="transformers", device="cpu", max_steps=most)
    parameters = {"trainable_parameters": TRAINABLE[label], "total_parameters": TRAINABLE["full"]}
    say(run, start + 2, "model", name="demo", **parameters)
    say(run, start + 3, "eval", step=0, loss=BASE_LOSS, scores={"manner": 0.0})
    for step in range(1, max(losses, default=0) + 1):
        loss = 2.9 - 1.6 * step / most
        counts = {"tokens": 900 * step, "memory_bytes": 840_000_000}
        say(run, start + 3 + step, "step", step=step, loss=loss, seconds=0.3 * step, **counts)
        if step in losses:
            scores = {"scores": {"manner": 1 - share / 2}} if step == most else {}
            say(run, start + 3 + step, "eval", step=step, loss=losses[step], **scores)
    if final:
        size = {"model_bytes" if is_full else "adapter_bytes": 4 * TRAINABLE[label]}
        figures = {"seconds_per_step": 0.3 + 0.1 * share, "peak_memory_bytes": 844_000_000}
        say(
            run, start + most + 8, final, step=max(losses, default=0), **{**figures, **size, **last}
        )


def say(run: Run, after: float, kind: str, **fields: Any) -> None:
    """Append an event of a given time."""
    with run.events.open("a") as file:
        file.write(json.dumps({"t": NOON + after, "kind": kind, **fields}) + "\n")


def finished(wanted: Asked | None = None, ended: Sequence[str] = tuple(LOSSES)) -> Sweep:
    """The usual sweep with its baseline, of which those in `ended` have run to their end."""
    sweep = made(wanted or asked(with_full=True))
    for at, (run, label) in enumerate(zip(sweep.runs, sweep.labels, strict=True)):
        if label in ended:
            losses = {30: LOSSES[label] + 0.6, 60: LOSSES[label] + 0.2, 120: LOSSES[label]}
            told(run, losses, label=label, start=200.0 * at)
    return sweep
