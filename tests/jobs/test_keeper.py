"""The process that goes on with the queue: it comes when needed and ends when nothing waits."""

import platform
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lora_tui.core import config, devices, events, locations, locks, runs
from lora_tui.core import queue as tickets
from lora_tui.core.presets import Preset
from lora_tui.core.summary import headline
from lora_tui.jobs import idle, keeper, keeping, launch, notify, queue
from lora_tui.jobs.spawn import spawn
from tools.terminal import wait_until


def test_the_keeper_starts_what_waits_and_ends() -> None:
    """With the processor another run's, and nobody else to look."""
    busy = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    broken = launch.start(Preset(name="p"), name="broken")
    broken.preset.write_text("not = a [preset")  # so that no engine has to load
    wait_until(
        lambda: locks.is_held(keeping.lock()) or tickets.read(broken) is None, 30, "no keeper came"
    )
    wait_until(lambda: headline(broken).state == "failed", 180, "it was not tried")
    wait_until(lambda: not locks.is_held(keeping.lock()), 180, "the keeper did not end")
    assert keeping.log().read_text() == "" and busy
    busy.close()


def test_the_keeper_tells_of_a_run_that_ended_and_ends(tmp_path: Path) -> None:
    told = tmp_path / "told"
    locations.home().mkdir(parents=True)
    command = f'echo "$LORA_TUI_EVENT $LORA_TUI_NAME" >> {told}'
    config.path().write_text(f"[notify]\ncommand = '{command}'\n")
    old = runs.create(Preset(name="p"), name="old")
    old.lock.touch()
    events.append(old.events, "launched")  # it ended before anybody looked
    run, elsewhere = (runs.create(Preset(name="p"), name=name) for name in ("short", "far"))
    with run.lock.open("w") as lock, elsewhere.lock.open("w") as far:
        for name, handle in (platform.node(), lock), ("another-machine", far):
            locks.take(handle.fileno())
            handle.write(f"{name} 4242\n")
            handle.flush()
        queue.keep_going()
        wait_until(lambda: locks.is_held(keeping.lock()), 180, "no keeper came")
        spawned = runs.create(Preset(name="p"), name="quick")
        spawn(spawned, "no-such-verb")
        for one in (elsewhere, run):
            events.append(one.events, "finished", step=1)
    wait_until(lambda: told.exists() and told.read_text().count("\n") == 2, 180, "nobody was told")
    wait_until(lambda: not locks.is_held(keeping.lock()), 180, "the keeper did not end")
    assert sorted(told.read_text().splitlines()) == ["crashed quick", "finished short"]


def test_the_keeper_waits_until_an_idle_gpu_can_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's end is the moment from which the GPU is idle: the keeper must not leave then."""
    locations.home().mkdir(parents=True)
    config.path().write_text("[notify]\ncommand = 'true'\nidle_minutes = 1\n")
    now, at_work, told = 0.0, True, list[int]()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    monkeypatch.setattr(idle, "load", lambda: 0.0)
    monkeypatch.setattr(idle, "is_any_at_work", lambda: at_work)
    monkeypatch.setattr(notify, "idle", told.append)
    idleness = keeper.Idleness()
    idleness.look()
    assert idleness.waits
    at_work = False
    for _ in range(5):
        now += 31
        idleness.look()
    assert told == [1] and not idleness.waits
    config.path().write_text("[notify]\ncommand = 'true'\nidle_minutes = 0\n")
    at_work, now = True, now + 31
    idleness.look()
    assert not idleness.waits


def test_a_second_keeper_ends_at_once() -> None:
    keeping.lock().parent.mkdir(parents=True)
    with keeping.lock().open("w") as lock:
        locks.take(lock.fileno())
        done = subprocess.run([sys.executable, "-m", "lora_tui.jobs.keeper"], timeout=180)
    assert done.returncode == 0
