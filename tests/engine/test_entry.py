"""How an engine's process ends."""

import json
import subprocess
import sys

import pytest

from lora_tui.core import runs
from lora_tui.core.presets import Preset


def test_it_leaves_with_its_code_its_words_and_what_was_to_be_done_at_the_end():
    code = (
        "import atexit; from lora_tui.engine.__main__ import leave\n"
        "atexit.register(print, 'tidied'); print('said', end=' '); leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "said tidied\n")


def test_an_unknown_verb_is_said():
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui.engine", "fly", "/nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "usage:" in done.stderr


ASKED_AMID_AN_IMPORT = """
import os, signal, sys
from pathlib import Path
from lora_tui.engine import job

def work(begun):
    with {context}:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except BaseException:
            pass  # as torch does around `import numpy`
    raise ImportError("cannot load module more than once per process")

sys.exit(job.execute(Path(sys.argv[1]), work))
"""


@pytest.mark.parametrize(
    ("context", "ended"), [("begun.stop.at_once()", "failed"), ("nullcontext()", "stopped")]
)
def test_what_a_stop_request_broke_is_no_failure(context, ended):
    """Only what comes after it where leaving at once loses nothing."""
    run = runs.create(Preset(), name="asked")
    code = "from contextlib import nullcontext" + ASKED_AMID_AN_IMPORT.format(context=context)
    done = subprocess.run(
        [sys.executable, "-c", code, str(run.path)], capture_output=True, text=True
    )
    kinds = [json.loads(line)["kind"] for line in run.events.read_text("utf-8").splitlines()]
    assert kinds[-1] == ended
    assert done.returncode == (ended == "failed")
    assert "cannot load module more than once" in done.stderr  # for the log, either way
