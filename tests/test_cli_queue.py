"""`lora-tui queue`, and what the other verbs say of a run that waits."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lora_tui.core import devices, queue, references, runs
from lora_tui.core.presets import Preset


def say(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lora_tui", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture
def busy() -> Iterator[None]:
    """The processor is another run's, so that nothing starts."""
    taken = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    assert taken
    yield
    for ticket in queue.waiting():  # or the keeper would start them
        queue.leave(ticket.run)
    taken.close()


@pytest.mark.usefixtures("busy")
def test_the_queue_is_listed_and_changed_by_words() -> None:
    for name in "abc":
        started = say("train", "demo", "--name", name, "--detach", "--json")
        assert started.returncode == 0 and json.loads(started.stdout)["state"] == "queued"
    moved = json.loads(say("queue", "--move", "c", "1", "--hold", "a", "--json").stdout)
    assert [(one["name"], one["position"], one["held"]) for one in moved] == [
        ("c", 1, False),
        ("a", 2, True),
        ("b", 3, False),
    ]
    assert moved[2]["waits_for"] == "1 run starts before it"
    assert "held" in say("queue").stdout.splitlines()[2]
    assert json.loads(say("pause", "c", "--json").stdout)["held"]
    assert "queued" in say("pause", "c").stdout  # twice, nothing changes
    assert json.loads(say("resume", "c", "--detach", "--json").stdout)["state"] == "queued"
    again = say("resume", "c", "--detach")
    assert again.returncode == 1 and "waits for its turn already" in again.stderr
    assert "stopped" in say("stop", "b").stdout
    left = say("queue", "--release", "a", "--cancel", "c", "--json")
    assert [one["name"] for one in json.loads(left.stdout)] == ["a"]
    assert not json.loads(left.stdout)[0]["held"]


@pytest.mark.usefixtures("busy")
def test_what_cannot_be_done_with_the_queue_is_said() -> None:
    assert say("queue").stderr == "Nothing runs and nothing waits.\n"
    assert json.loads(say("queue", "--json").stdout) == []
    idle = say("queue", "--cancel", "other")
    assert idle.returncode == 2 and "does not wait" in idle.stderr
    nowhere = say("queue", "--move", "other", "first")
    assert nowhere.returncode == 2 and '"first" is no place' in nowhere.stderr
    assert say("queue", "--hold", "nobody").returncode == 2


@pytest.mark.usefixtures("busy")
def test_who_follows_a_queued_run_may_leave_it() -> None:
    command = [sys.executable, "-m", "lora_tui", "train", "demo", "--name", "waits"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        assert follower.stdout and follower.stderr
        run_id = follower.stdout.readline().decode().strip()
        assert follower.stderr.readline() == b"It is queued: next to start.\n"
        os.kill(follower.pid, signal.SIGINT)
        assert follower.wait(180) == 0
        assert b"goes on" in follower.stderr.read()
    assert references.find(run_id).ticket.exists()
