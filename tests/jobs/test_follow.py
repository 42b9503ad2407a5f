"""Following a run's events: all of them, once, until the writer is gone."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.core import events, runs
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow

WRITER = """
import fcntl, sys
from pathlib import Path
from lora_tui.core import events
run = Path(sys.argv[1])
lock = open(run / "run.lock", "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("ready", flush=True)
sys.stdin.readline()
for step in range(500):
    events.append(run / "events.jsonl", "step", step=step)
events.append(run / "events.jsonl", "finished")
"""


@pytest.fixture
def run() -> Run:
    return runs.create(Preset(name="p"))


@pytest.fixture
def writer(run: Run) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock and writes when told to."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_every_event_arrives_once_and_the_end_is_seen(
    run: Run, writer: subprocess.Popen[str]
) -> None:
    assert writer.stdin
    writer.stdin.write("go\n")
    writer.stdin.flush()
    got = [event for batch in follow(run, threading.Event(), every=0.01) for event in batch]
    assert [event["step"] for event in got[:-1]] == list(range(500))
    assert got[-1]["kind"] == "finished"


def test_a_quiet_run_gives_empty_batches_and_cancelling_ends_them(
    run: Run, writer: subprocess.Popen[str]
) -> None:
    cancelled = threading.Event()
    batches = follow(run, cancelled, every=0.01)
    assert next(batches) == [] and next(batches) == []
    cancelled.set()
    assert list(batches) == []


def test_a_killed_writer_ends_the_following_with_what_it_wrote(
    run: Run, writer: subprocess.Popen[str]
) -> None:
    events.append(run.events, "step", step=1)
    batches = follow(run, threading.Event(), every=0.01)
    assert [event["step"] for event in next(batches)] == [1]
    writer.kill()
    assert [event for batch in batches for event in batch] == []


def test_a_finished_run_is_read_to_its_end_at_once(run: Run) -> None:
    for step in range(3000):
        events.append(run.events, "step", step=step, padding="x" * 300)
    got = [event["step"] for batch in follow(run, threading.Event()) for event in batch]
    assert got == list(range(3000))


def test_a_run_that_was_never_there_ends_at_once(tmp_path: Path) -> None:
    assert list(follow(Run(tmp_path / "gone"), threading.Event())) == []
