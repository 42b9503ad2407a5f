"""A job's engine as a process, started and waited for without the app."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.tables import REPOSITORY
from lora_tui.core.runs import Run
from lora_tui.engine import train


def start(run: Run, job: str = "train") -> subprocess.Popen[bytes]:
    """The engine of a run that was made; what it prints goes into the run's log."""
    with run.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lora_tui.engine", job, str(run.path)],
            cwd=run.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        )


def ended(engine: subprocess.Popen[bytes], run: Run) -> list[dict[str, Any]]:
    """Everything the engine reported, once it has ended.

    Raises:
        SystemExit: it failed; the end of its log says why.
    """
    if engine.wait():
        raise SystemExit(run.log.read_text("utf-8")[-4000:])
    return [json.loads(line) for line in run.events.read_text("utf-8").splitlines()]


def train_watched(watch: Callable[[Any, Callable[[], None]], Any]) -> NoReturn:
    """Train in this process, by the run directory and the file that the command line names.

    Args:
        watch: Is given TRL's trainer, set up in the engine's order, and what trains it; what it
            returns is written into the file as JSON.
    """
    run, out = map(Path, sys.argv[1:])
    fit = train.fit

    def watched(trainer: Any, max_steps: int, checkpoint: tuple[int, Path] | None) -> None:
        found = watch(trainer, partial(fit, trainer, max_steps, checkpoint))
        out.write_text(json.dumps(found), encoding="utf-8")

    train.fit = watched
    sys.exit(train.main(run, resume=False))
