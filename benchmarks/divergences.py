"""Ten ways to lose a run, planted in real ones, and a long run in which nothing is wrong.

    python -m benchmarks.divergences

Every run is the demo's, by the transformers backend. In the ten, what is named happens after step
20; counted is how many steps that it changed were made before the run was stopped, failed, with a
checkpoint from before; 0 where the weights were not even saved. The long one is of 2,000 steps, two
rows each, with the losses of such small batches.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tables import SURVIVAL, Line, own_home, section
from lora_tui.core import preset_files, runs, summary
from lora_tui.core.runs import Run

AT = 20
STEPS = 60
SETTINGS = (
    f"training.max_steps={STEPS}",
    "training.save_steps=10",
    "training.per_device_train_batch_size=2",
    "training.gradient_accumulation_steps=1",
    "data.eval_fraction=0",
    "engine.backend=transformers",
    "model.dtype=float32",
)
LONG = ("training.max_steps=2000", "training.save_steps=500", "training.logging_steps=10")

Plant = Callable[[Any], None]
"""Done to the trainer once, after step AT."""


def main() -> None:
    """Train them all and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    parser.add_argument("--only", default="", help="part of a name")
    arguments = parser.parse_args()
    with section(arguments.out, "divergences", "benchmarks.divergences") as lines, own_home():
        for name, plant in PLANTS.items():
            if arguments.only in name:
                lines.append(planted(name, plant))
        if not arguments.only:
            lines.append(undisturbed())


def train(name: str, settings: tuple[str, ...]) -> Run:
    """One run in this process, as an engine of its own would make it."""
    from lora_tui.engine.__main__ import main as engine

    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    run = runs.create(preset, name=name)
    here = Path.cwd()
    os.chdir(run.path)
    with run.log.open("a") as log, contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        engine(["train", str(run.path)])
    os.chdir(here)
    return run


def planted(name: str, plant: Plant) -> Line:
    """A run in which something happens after step AT."""
    from transformers import TrainerCallback

    from lora_tui.engine import trainer

    class Planting(TrainerCallback):
        def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
            if state.global_step == AT:
                plant(planting)

    build = trainer.build
    planting: Any = None

    def with_plant(**how: Any) -> Any:
        nonlocal planting
        planting = build(**how)
        planting.add_callback(Planting())
        return planting

    trainer.build = with_plant
    try:
        run = train(name, SETTINGS)
    finally:
        trainer.build = build
    shown = summary.show(run)
    print(name, shown["state"], shown["step"], (shown["failure"] or {}).get("summary"), flush=True)
    saved = runs.checkpoint_steps(run)
    if shown["state"] != "failed" or not saved or max(saved) > AT:
        sys.exit(f"{name}: {shown['state']}, saved {saved}; its log is {run.log}")
    first = AT + (2 if plant is _faster else 1)  # a rate acts on the loss of the step after
    return Line(f"{name}: changed steps until it was stopped", [shown["step"] - first + 1], "", "3")


def undisturbed() -> Line:
    """A long run without a fault; it has to finish."""
    run = train("undisturbed", (*SETTINGS, *LONG))
    shown = summary.show(run)
    if shown["state"] != "finished":
        sys.exit(f"false alarm: {shown['failure']}")
    print("undisturbed", shown["step"], shown["loss"], flush=True)
    return Line("steps of a normal run without an alarm", [shown["step"]], "")


def trained(trainer: Any) -> list[Any]:
    """Its trained weights."""
    return [weight for weight in trainer.model.parameters() if weight.requires_grad]


def _set(value: float) -> Plant:
    def plant(trainer: Any) -> None:
        trained(trainer)[0].data.view(-1)[0] = value

    return plant


def _grown(trainer: Any) -> None:
    for weight in trained(trainer):
        weight.data *= 1000


def _gradients(change: Callable[[Any], Any]) -> Plant:
    def plant(trainer: Any) -> None:
        for weight in trained(trainer):
            weight.register_hook(change)

    return plant


def _faster(trainer: Any) -> None:
    """The learning rate of a typing error."""
    scheduler = trainer.lr_scheduler
    scheduler.base_lrs = [rate * 10_000 for rate in scheduler.base_lrs]
    for group in trainer.optimizer.param_groups:
        group["lr"] *= 10_000


def _no_labels(trainer: Any) -> None:
    collate = trainer.get_batch_samples

    def without(*how: Any) -> Any:
        batches, _ = collate(*how)
        for batch in batches:
            batch["labels"][:] = -100
        trainer.step_tokens = trainer.step_tokens * 0
        return batches, 1

    trainer.get_batch_samples = without


def _no_loss(trainer: Any) -> None:
    compute = trainer.compute_loss
    trainer.compute_loss = lambda *how, **more: compute(*how, **more) * 0


def _noise(trainer: Any) -> None:
    import torch

    for name, weight in trainer.model.named_parameters():
        if "norm" not in name:
            weight.data = torch.randn_like(weight)


PLANTS: dict[str, Plant] = {
    "a weight is NaN": _set(float("nan")),
    "a weight is infinite": _set(float("inf")),
    "gradients are NaN": _gradients(lambda gradient: gradient * float("nan")),
    "gradients are infinite": _gradients(lambda gradient: gradient + float("inf")),
    "gradients a million times as large": _gradients(lambda gradient: gradient * 1e6),
    "learning rate ten thousand times as high": _faster,
    "the adapter a thousand times as large": _grown,
    "all weights noise": _noise,
    "no token is trained": _no_labels,
    "the loss is exactly 0": _no_loss,
}

if __name__ == "__main__":
    main()
