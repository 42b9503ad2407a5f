"""Starting an engine, and what stands in the way."""

import fcntl
import os
import threading
from pathlib import Path

import pytest

from lora_tui.core import events, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.preset_files import load, with_settings
from lora_tui.core.presets import Preset
from lora_tui.jobs import launch, stop


def test_an_engine_is_a_session_of_its_own_and_the_lock_is_held_at_once() -> None:
    run = runs.create(Preset(name="p"))
    pid = launch.launch(run, "no-such-verb")
    assert os.getsid(pid) == pid
    assert runs.is_alive(run)
    assert stop.wait_until_dead(run, 60)
    assert "usage" in run.log.read_text()
    (launched,) = events.read_new(run.events)[0][:1]
    assert (launched["kind"], launched["pid"], launched["verb"]) == (
        "launched",
        pid,
        "no-such-verb",
    )


def test_a_run_that_lives_is_not_started_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_PATIENCE", 0.05)
    run = runs.create(Preset(name="p"))
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for start in (launch.launch, launch.resume):
            with pytest.raises(LoraTuiError, match="running already"):
                start(run)
    assert events.read_new(run.events)[0] == []


def test_a_reader_asking_for_a_moment_does_not_prevent_a_start() -> None:
    run = runs.create(Preset(name="p"))
    run.lock.touch()
    reader = os.open(run.lock, os.O_RDONLY)
    fcntl.flock(reader, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, (reader,)).start()
    launch.launch(run, "no-such-verb")
    assert stop.wait_until_dead(run, 60)


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
    assert launch.located(hub) is hub and launch.located(Preset()) == Preset()


def test_a_run_directory_holds_the_preset_that_runs() -> None:
    run = runs.create(with_settings(Preset(name="p"), ["lora.r=3"]))
    assert load(run.preset).lora.r == 3


def test_only_a_live_run_of_this_machine_is_stopped() -> None:
    run = runs.create(Preset(name="p"))
    with pytest.raises(LoraTuiError, match="is not running"):
        stop.stop(run)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LoraTuiError, match="did not say its process id"):
            stop.stop(run)
        events.append(run.events, "launched", pid=os.getpid(), host="another-machine")
        with pytest.raises(LoraTuiError, match="runs on another-machine"):
            stop.stop(run)
        assert not stop.wait_until_dead(run, 0.01)
    assert stop.wait_until_dead(run, 0.01)
