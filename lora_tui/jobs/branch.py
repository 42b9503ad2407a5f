"""Making a branch: a new run that begins at a checkpoint of another one, which stays as it is."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lora_tui.core import files, runs
from lora_tui.core.branching import Plan
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.jobs import launch, machine, slurm


def start(
    plan: Plan, *, name: str = "", command: str = "", options: Sequence[str] | None = None
) -> Run:
    """Make a branch and let it begin, or wait for its turn; `options` are those of `launch.resume`.

    Raises:
        LoraTuiError: as `branch` and `launch.resume`; nothing is left behind.
    """
    if options is None:
        machine.refuse(plan.preset)
    else:
        slurm.refuse(plan.preset, options)
    run = branch(plan, name=name, command=command)
    try:
        launch.resume(run, options=options)
    except LoraTuiError:
        with suppress(LoraTuiError):  # what went wrong first is what the user has to know
            runs.delete(run)  # it would wait in the list for ever
        raise
    return run


def branch(plan: Plan, *, name: str = "", command: str = "") -> Run:
    """The run directory of a branch with its checkpoint in it; nothing is started.

    Raises:
        LoraTuiError: the disk did not take it, or the checkpoint is gone; nothing is left behind.
    """
    info = runs.read_info(plan.run)
    run = runs.create(
        plan.preset,
        name=name or runs.free_name(str(info.get("name") or plan.run.id)),
        command=command,
        options=plan.options(),
    )
    try:
        runs.add_to_info(run, data_fingerprint=info.get("data_fingerprint"))
        run.checkpoints.mkdir(mode=0o700)
        for source in _needed(plan):
            _copy(source, run.checkpoints / source.name)
    except OSError as error:
        with suppress(LoraTuiError):  # what went wrong first is what the user has to know
            runs.delete(run)
        raise LoraTuiError(
            f"The branch was not made: {error}.",
            "Is its checkpoint still there, and room on the disk?",
        ) from error
    return run


def _needed(plan: Plan) -> list[Path]:
    """The checkpoint, and what the end of a run may need of others.

    `start` is there where the adapter took a part out of the base. Earlier checkpoints may hold the
    best weights so far, which early stopping goes back to.
    """
    folder = plan.run.checkpoints
    steps = [step for step in runs.checkpoint_steps(plan.run) if step <= plan.step]
    if not plan.preset.training.early_stopping_patience:
        steps = [plan.step]
    start = folder / "start"
    return [*(folder / f"checkpoint-{step}" for step in steps)] + [start] * start.is_dir()


def _copy(source: Path, target: Path) -> None:
    """A folder under a new name, whole or absent; its files are shared where the disk can.

    Nobody writes into a checkpoint that is whole, so sharing is safe.
    """
    aside = target.with_name(f".{target.name}")
    shutil.copytree(source, aside, copy_function=_link)
    files.sync(aside)
    aside.rename(target)
    files.sync(target.parent)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # another disk, or one without links
        shutil.copyfile(source, target)
        files.sync(Path(target))
