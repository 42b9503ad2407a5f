"""A stopwatch around a stock script's trainer; it changes nothing that the trainer computes."""

import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

HALF = "half"
WHOLE = "whole"
FIGURES = "figures.json"


def trained(trainer: Any, out: Path) -> None:
    """Train, evaluate twice, and write the times and counts beside what was trained.

    Args:
        trainer: TRL's, ready to train.
        out: A folder: `half` and `whole` get the weights of those steps, `figures.json` the rest;
            `evaluation` there is the seconds of the second one.
    """
    import torch
    from transformers import TrainerCallback

    from lora_tui.engine import machine

    tokens: list[int] = []
    counted: list[int] = []
    ends: list[float] = []
    begun: list[float] = []
    hand_out = trainer.get_batch_samples

    def counting(*args: Any, **kwargs: Any) -> Any:
        batches, items = hand_out(*args, **kwargs)
        tokens.append(sum(int(batch["attention_mask"].sum()) for batch in batches))
        counted.append(sum(int((batch["labels"] != -100).sum()) for batch in batches))
        return batches, items

    class Clock(TrainerCallback):
        saving = 0.0  # seconds that saving took, which are no training

        def on_step_begin(self, _args: Any, _state: Any, _control: Any, **_: Any) -> None:
            if not begun:
                begun.append(time.time())
                ends.append(time.perf_counter())

        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            ends.append(time.perf_counter() - self.saving)
            if state.global_step == state.max_steps // 2:
                start = time.perf_counter()
                trainer.save_model(str(out / HALF))
                self.saving += time.perf_counter() - start

    trainer.get_batch_samples = counting
    trainer.add_callback(Clock())
    trainer.train()
    peak = machine.peak_memory(torch, "cuda" if torch.cuda.is_available() else "cpu")
    trainer.save_model(str(out / WHOLE))
    trainer.evaluate()  # meets lengths that nothing was compiled for yet
    start = time.perf_counter()
    trainer.evaluate()
    figures = {
        "first_step_at": begun[0],
        "seconds": [end - before for before, end in pairwise(ends)],
        "tokens": tokens,
        "trained": counted,
        "peak": peak,
        "evaluation": time.perf_counter() - start,
    }
    (out / FIGURES).write_text(json.dumps(figures), encoding="utf-8")
