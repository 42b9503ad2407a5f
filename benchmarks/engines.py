"""A job's engine as a process, started and waited for without the app."""

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.tables import REPOSITORY
from lora_tui.core.runs import Run


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
