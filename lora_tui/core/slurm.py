"""The batch script of a run under SLURM, and which SLURM job may start the run.

That a job may start it is a file of the run's own, `slurm`: who stops the run removes it, so a job
that SLURM launches once more, whatever its reason, finds that nobody wants it.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from lora_tui.core import files
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run

SAVING_TAKES = 120
"""How many seconds before the time limit a run is told to save; sbatch's --signal changes it."""

_NOT_FOR_RUNS = ("--array", "-a", "--wrap", "--no-requeue")


def script(run: Run, *, gpus: int, options: Sequence[str], home: Path, python: str) -> str:
    """The text of the sbatch file.

    The signal goes to the batch step alone, which knows by it that time is up: SLURM stops a job
    for anything else with SIGTERM. What the user says comes last, and so it counts.
    """
    asked = [
        f"--job-name={run.id}",
        f"--output={_name_pattern(run.slurm_log)}",
        "--open-mode=append",
        f"--chdir={run.path}",
        "--requeue",
        f"--signal=B:USR1@{SAVING_TAKES}",
        "--nodes=1",
        "--ntasks=1",
    ]
    if gpus:
        asked.append(f"--gres=gpu:{gpus}")
    lines = [*(_quoted(option) for option in asked), *options]
    command = ["exec", python, "-P", "-m", "lora_tui.jobs.slurm_batch", str(run.path)]
    return "\n".join(
        [
            "#!/bin/sh",
            *(f"#SBATCH {line}" for line in lines),
            "",
            f"export LORA_TUI_HOME={shlex.quote(str(home))}",
            shlex.join(command),
            "",
        ]
    )


def _name_pattern(path: Path) -> str:
    """A file's name in SLURM's notation, in which `%` begins a placeholder."""
    return str(path).replace("%", "%%")


def _quoted(option: str) -> str:
    name, _, value = option.partition("=")
    if not value or not set(value) & set(" \t\"'\\#"):
        return option
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'


def check_options(options: Sequence[str]) -> None:
    """Make sure that what the user says to sbatch can stand in the batch script of a run.

    Raises:
        BadInput: it cannot; each one is named.
    """
    wrong = []
    for option in options:
        try:
            words = shlex.split(option)
        except ValueError as error:
            wrong.append(f'"{option}": {error}')
            continue
        if not option.startswith("-") or not option.isprintable():
            wrong.append(f'"{option}" is no option of sbatch')
        wrong += [
            f"{word}: a run is one job that may be requeued"
            for word in words
            if word.partition("=")[0] in _NOT_FOR_RUNS
        ]
    if wrong:
        raise BadInput(
            "This cannot be said to sbatch:\n" + "\n".join(f"  {line}" for line in wrong),
            'Write them as sbatch takes them: --sbatch "--partition=gpu --time=4:00:00"',
        )


def gpus_of(preset: Preset) -> int:
    """How many GPUs a run of `preset` asks SLURM for, if the cluster has any.

    Raises:
        BadInput: it names one GPU: SLURM picks them.
    """
    device = preset.engine.device
    if ":" in device:
        raise BadInput(
            f'engine.device: is "{device}", and SLURM picks the GPU.', 'Set it to "cuda" or "auto".'
        )
    return 0 if device == "cpu" else preset.engine.processes


def allow(run: Run, job: str, host: str) -> None:
    """Write down which job may start the run, and where it was submitted.

    Raises:
        OSError: the disk did not take it.
    """
    files.write_atomically(run.slurm, f"{job} {host}\n")


def allowed(run: Run) -> tuple[str, str] | None:
    """The job that may start the run, and where it was submitted; None if there is none."""
    try:
        job, host = run.slurm.read_text("utf-8").split()
    except (OSError, ValueError):
        return None
    return job, host


def forbid(run: Run) -> None:
    """Let no SLURM job start the run any more.

    Raises:
        LoraTuiError: its folder cannot be written.
    """
    try:
        run.slurm.unlink(missing_ok=True)
    except OSError as error:
        raise LoraTuiError(
            f"SLURM may start {run.id} again: {error}.", f"Remove {run.slurm} by hand."
        ) from error
