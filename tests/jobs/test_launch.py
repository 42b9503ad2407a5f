"""Starting an engine, and what stands in the way."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lora_tui.core import events, locks, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.preset_files import load, with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.summary import headline, read_snapshot
from lora_tui.jobs import control, launch
from lora_tui.jobs import spawn as spawning
from lora_tui.jobs.spawn import spawn


def test_an_engine_is_a_session_of_its_own_and_the_lock_is_held_at_once() -> None:
    run = runs.create(Preset(name="p"))
    pid = spawn(run, "no-such-verb").pid
    assert os.getsid(pid) == pid
    assert runs.is_alive(run)
    assert control.wait_until_dead(run, 60)
    assert "usage" in run.log.read_text()
    (launched,) = events.read_new(run.events)[0][:1]
    assert (launched["kind"], launched["pid"], launched["verb"]) == (
        "launched",
        pid,
        "no-such-verb",
    )


def test_a_run_that_lives_is_not_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_PATIENCE", 0.05)
    run = runs.create(Preset(name="p"))
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for start in (lambda: spawn(run, "train"), lambda: launch.resume(run)):
            with pytest.raises(LoraTuiError, match="running already"):
                start()
    assert events.read_new(run.events)[0] == []


def test_a_reader_asking_for_a_moment_does_not_prevent_a_start() -> None:
    run = runs.create(Preset(name="p"))
    run.lock.touch()
    reader = os.open(run.lock, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, (reader,)).start()
    spawn(run, "no-such-verb")
    assert control.wait_until_dead(run, 60)


def test_a_finished_run_is_not_resumed() -> None:
    run = runs.create(Preset(name="p"))
    events.append(run.events, "finished", step=1)
    with pytest.raises(LoraTuiError, match="is finished"):
        launch.resume(run)


def test_local_paths_become_absolute_and_missing_ones_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    preset = with_settings(Preset(), ["data.source=rows.jsonl", "model.name_or_path=./model"])
    placed = launch.located(preset)
    assert placed.data.source == str(tmp_path / "rows.jsonl")
    assert placed.model.name_or_path == str(tmp_path / "model")
    for missing in ("data.source=gone.jsonl", "model.name_or_path=./gone", "data.source=~/gone"):
        with pytest.raises(LoraTuiError, match=missing.partition("=")[0]):
            launch.located(with_settings(Preset(), [missing]))
    hub = with_settings(Preset(), ["model.name_or_path=HuggingFaceTB/SmolLM2-135M"])
    assert launch.located(hub) == hub and launch.located(Preset()) == Preset()


def test_each_of_several_sources_is_located(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    placed = launch.located(with_settings(Preset(), ["data.source=rows.jsonl, demo"]))
    assert placed.data.source == (str(tmp_path / "rows.jsonl"), "demo")
    with pytest.raises(LoraTuiError, match=r"gone\.jsonl"):
        launch.located(with_settings(Preset(), ["data.source=rows.jsonl, gone.jsonl"]))


def test_a_run_directory_holds_the_preset_that_runs() -> None:
    run = runs.create(with_settings(Preset(name="p"), ["lora.r=3"]))
    assert load(run.preset).lora.r == 3


def test_only_a_live_run_of_this_machine_is_stopped() -> None:
    run = runs.create(Preset(name="p"))
    with pytest.raises(LoraTuiError, match="is not running"):
        control.stop(run)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LoraTuiError, match="did not say its process id"):
            control.stop(run)
        run.lock.write_text(f"another-machine {os.getpid()}\n")
        with pytest.raises(LoraTuiError, match="runs on another-machine"):
            control.stop(run)
        assert not control.wait_until_dead(run, 0.01)
    assert control.wait_until_dead(run, 0.01)


def test_an_engine_that_hangs_can_be_killed_after_it_was_asked() -> None:
    run = runs.create(Preset(name="p"))
    deaf = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "print(1, flush=True); time.sleep(60)"
    )
    with run.lock.open("a") as lock:
        locks.take(lock.fileno())
        engine = subprocess.Popen(
            [sys.executable, "-c", deaf],
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
        locks.sign(lock.fileno(), engine.pid)
    assert engine.stdout and engine.stdout.readline()
    events.append(run.events, "launched")
    control.stop(run)
    assert headline(run).state == "stopping" and not control.wait_until_dead(run, 0.2)
    command = [sys.executable, "-m", "lora_tui", "stop", run.id, "--grace", "0.2"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert said.returncode == 1 and "so it is killed" in said.stderr
    assert "Killed, as it was asked to be." in said.stderr
    assert engine.wait(180) == -signal.SIGKILL and control.wait_until_dead(run, 180)
    engine.stdout.close()


def test_a_launch_that_fails_says_why_and_leaves_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(events, "append", full)
    with pytest.raises(LoraTuiError, match="No space left"):
        launch.start(Preset(name="p"))
    assert runs.list_runs() == []


def test_hub_names_may_hold_dots_and_a_configuration() -> None:
    for name in ("teknium/OpenHermes-2.5", "openai/gsm8k:main"):
        preset = with_settings(Preset(), [f"data.source={name}"])
        assert launch.located(preset) == preset
    with pytest.raises(LoraTuiError, match=r"model\.name_or_path"):
        launch.located(with_settings(Preset(), ["model.name_or_path=a/b:c"]))


def test_the_time_between_two_launches_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs.create(Preset(name="p"))
    now = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now)
    spawning._note_launch(run)
    events.append(run.events, "launched")
    for step in range(1000):
        now += 1
        events.append(run.events, "step", step=step)
    now += 86_400
    spawning._note_launch(run)
    events.append(run.events, "launched")
    for step in range(1000, 2000):
        now += 1
        events.append(run.events, "step", step=step)
    assert headline(run).elapsed == read_snapshot(run).elapsed == 2000


def test_an_engine_last_worked_before_it_waited_and_was_killed() -> None:
    paused = [{"kind": "step", "t": 5.0}, {"kind": "paused", "t": 6.0}]
    asked = {"kind": "stopping", "t": 90.0}
    assert spawning.last_at_work([]) is None
    assert spawning.last_at_work([*paused, asked]) == 6.0
    assert spawning.last_at_work([*paused, {"kind": "resumed", "t": 80.0}, asked]) == 90.0
