"""What a job's process is given before anything heavy is imported."""

import fcntl
import subprocess
import sys
from contextlib import ExitStack

import pytest

from lora_tui.core import devices, runs
from lora_tui.core.devices import Wanted
from lora_tui.core.presets import Preset

JOB = """
import os, sys
from pathlib import Path
from lora_tui.engine import job
code = job.execute(
    Path(sys.argv[1]), lambda _: print(os.environ.get("GOMP_SPINCOUNT")), verb=sys.argv[2]
)
sys.exit(code)
"""


@pytest.mark.parametrize(("verb", "busy", "awake"), [("train", 1, 1), ("", 1, 0), ("", 0, 1)])
def test_threads_wait_awake_beside_nobody(verb: str, busy: int, awake: int, monkeypatch) -> None:
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    run, other = runs.create(Preset(name="p")), runs.create(Preset(name="p"))
    with ExitStack() as held:
        if busy:
            taken = devices.take(Wanted(("cpu",)), (), other)
            assert taken
            held.callback(taken.close)
            fcntl.flock(held.enter_context(other.lock.open("w")), fcntl.LOCK_EX)
        said = subprocess.run(
            [sys.executable, "-c", JOB, run.path, verb], capture_output=True, text=True, check=True
        ).stdout
    assert (said.strip() != "None") == bool(awake)
