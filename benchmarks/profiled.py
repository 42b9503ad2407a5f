"""The engine's own training of a run directory, with torch's profiler over all but its first steps.

    python -m benchmarks.profiled RUN OUT

The profiler begins where `train.fit` does, after everything was imported in the engine's order.
"""

from collections.abc import Callable
from typing import Any

from benchmarks.engines import train_watched

WARM_UP = 2
ACTIVE = 4
STEPS = WARM_UP + ACTIVE


def operators(trainer: Any, fit: Callable[[], None]) -> list[tuple[float, int, str]]:
    """Every operator's own seconds and calls, the costliest first."""
    import torch
    from torch.profiler import profile, schedule
    from transformers import TrainerCallback

    class Beat(TrainerCallback):
        def on_step_end(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
            profiler.step()

    trainer.add_callback(Beat())
    with profile(
        schedule=schedule(wait=1, warmup=WARM_UP - 1, active=ACTIVE, repeat=1)
    ) as profiler:
        fit()
    where = "device" if torch.cuda.is_available() else "cpu"
    found = [
        (getattr(one, f"self_{where}_time_total") / 1e6, one.count, one.key)
        for one in profiler.key_averages()
        if not one.key.startswith("ProfilerStep")
    ]
    return sorted(found, reverse=True)


if __name__ == "__main__":
    train_watched(operators)
