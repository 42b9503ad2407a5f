"""The engine's own training of a run directory, with torch's profiler over all but its first steps.

    python -m benchmarks.profiled RUN OUT

The profiler begins where `train.fit` does, after everything was imported in the engine's order.
"""

import json
import sys
from pathlib import Path
from typing import Any

from lora_tui.engine import train

WARM_UP = 2
ACTIVE = 4
STEPS = WARM_UP + ACTIVE


def main() -> None:
    """Train, and write every operator's own seconds and calls, the costliest first."""
    run, out = map(Path, sys.argv[1:])
    fit = train.fit

    def profiled(trainer: Any, max_steps: int, checkpoint: tuple[int, Path] | None) -> None:
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
            fit(trainer, max_steps, checkpoint)
        where = "device" if torch.cuda.is_available() else "cpu"
        found = [
            (getattr(one, f"self_{where}_time_total") / 1e6, one.count, one.key)
            for one in profiler.key_averages()
            if not one.key.startswith("ProfilerStep")
        ]
        out.write_text(json.dumps(sorted(found, reverse=True)), encoding="utf-8")

    train.fit = profiled
    sys.exit(train.main(run, resume=False))


if __name__ == "__main__":
    main()
