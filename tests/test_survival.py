"""What a bad line and a hard kill do to a run: nothing that cannot be gone on with.

The real app in a real pseudo-terminal, the real engine, the real demo model.
"""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from lora_tui.core import events, runs, summary
from lora_tui.core.preset_files import find, with_settings
from lora_tui.core.runs import Run
from lora_tui.jobs import control, launch
from tools.terminal import APP, Terminal, wait_until

pytestmark = pytest.mark.xdist_group("survival")

SHORT = [
    *("training.max_steps=30", "training.save_steps=5", "data.eval_fraction=0"),
    "engine.backend=transformers",
]


def read(run: Run) -> list[dict[str, Any]]:
    return [event for batch in events.batches(run.events) for event in batch]


def steps(run: Run) -> list[int]:
    return [event["step"] for event in read(run) if event["kind"] == "step"]


def test_a_run_started_by_keys_outlives_its_terminal_and_is_shown_again() -> None:
    with Terminal(APP) as terminal:
        terminal.wait_for("demo")
        terminal.press("t")
        terminal.wait_for("Name of the run")
        terminal.press("\r")
        wait_until(lambda: bool(runs.list_runs()), 180, "no run was created")
        (run,) = runs.list_runs()
        wait_until(lambda: len(steps(run)) > 3, 180, "no step was made")
        before = read(run)
        terminal.hang_up()
        assert runs.is_alive(run)
    wait_until(lambda: len(steps(run)) > len(before), 120, "the run did not go on")
    no_tmux, watch = {"TMUX": ""}, [sys.executable, "-m", "lora_tui", "watch", run.id]
    with Terminal(watch, no_tmux) as watcher, Terminal(APP, no_tmux) as terminal:
        terminal.wait_for(lambda screen: "running" in screen)
        terminal.press("\t\r")
        terminal.wait_for(lambda screen: "loss" in screen and "tokens/s" in screen)
        terminal.press("q")
        terminal.wait_for("Presets")
        watcher.wait_for("step")
        control.stop(run)
        terminal.wait_for(lambda screen: "stopped" in screen)
        watcher.wait_for_end(120)
        told = f"demo stopped: step {steps(run)[-1]}/".encode()
        terminal.pump(180, lambda: b"\x1b]777;notify;lora-tui;" + told in terminal.raw)
        for screen in (terminal, watcher):
            assert screen.raw.count(b"\x1b]9;lora-tui: " + told) == 1
            assert screen.raw.count(b"\a\x1b]9;") == 1 == screen.raw.count(b"\x1b]777;notify;")
    assert control.wait_until_dead(run, 120)
    assert read(run)[: len(before)] == before
    assert steps(run) == list(range(1, len(steps(run)) + 1))
    assert summary.show(run)["state"] == "stopped" and run.adapter.is_dir()


def test_a_killed_engine_shows_as_crashed_and_resume_goes_on() -> None:
    run = launch.start(with_settings(find("demo"), SHORT), name="killed")
    wait_until(lambda: len(steps(run)) > 12, 180, "no steps were made")
    control.kill(run)
    assert control.wait_until_dead(run, 30)
    shown = summary.show(run)
    assert shown["state"] == "crashed" and "resume" in shown["failure"]["hint"]
    saved = runs.checkpoint_steps(run)
    assert saved and saved[-1] >= 5
    run.pause.touch()  # as a run has it that was killed while it waited
    with Terminal(APP) as terminal:
        terminal.wait_for("crashed")
    resumed = subprocess.run(
        [sys.executable, "-m", "lora_tui", "resume", run.id, "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert resumed.returncode == 0, resumed.stderr + run.log.read_text()[-2000:]
    document = json.loads(resumed.stdout)
    assert (document["state"], document["step"]) == ("finished", 30)
    again = [event for event in read(run) if event["kind"] == "started"][-1]
    assert again["resumed_from"] in saved
    assert [step for step, _ in summary.read_snapshot(run).curves["loss"]] == list(range(1, 31))
    assert any(run.adapter.iterdir()) and not run.pause.exists()


def test_pause_and_resume_from_other_terminals_twice_and_out_of_order() -> None:
    run = launch.start(with_settings(find("demo"), [*SHORT, "training.save_steps=0"]), name="wait")

    def say(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lora_tui", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    paused = [say("pause", run.id, "--json") for _ in range(2)]  # the first while it loads
    assert [one.returncode for one in paused] == [0, 0], paused
    assert {json.loads(one.stdout)["state"] for one in paused} == {"paused"}
    (step,) = {json.loads(one.stdout)["step"] for one in paused}
    assert step == 1 and steps(run) == [1]
    assert say("resume", run.id, "--detach").returncode == 0
    again = say("resume", run.id)
    assert again.returncode == 1 and "is running already" in again.stderr
    wait_until(lambda: len(steps(run)) > 3, 180, "it did not go on")
    assert "paused" in say("pause", run.id).stdout
    ended = say("resume", run.id, "--json")
    assert json.loads(ended.stdout)["state"] == "finished" and ended.returncode == 0
    assert steps(run) == list(range(1, 31))
    late = say("pause", run.id)
    assert late.returncode == 1 and "is not running" in late.stderr
    assert not run.pause.exists()


def test_a_stop_in_the_middle_keeps_a_checkpoint_and_the_adapter() -> None:
    run = launch.start(with_settings(find("demo"), [*SHORT, "training.save_steps=0"]), name="stop")
    wait_until(lambda: len(steps(run)) > 2, 180, "no steps were made")
    control.stop(run)
    control.stop(run)  # twice does no harm
    assert control.wait_until_dead(run, 120)
    shown = summary.show(run)
    assert shown["state"] == "stopped" and shown["failure"] is None
    assert runs.checkpoint_steps(run) == [shown["step"]]
    assert (run.adapter / "adapter_model.safetensors").stat().st_size == shown["adapter_bytes"]
    with pytest.raises(ProcessLookupError):
        os.kill(summary.read_snapshot(run).fact("launched", "pid"), signal.SIGCONT)


def test_a_stop_right_after_the_start_is_not_lost() -> None:
    run = launch.start(with_settings(find("demo"), SHORT), name="at once")
    control.stop(run)
    assert control.wait_until_dead(run, 120)
    shown = summary.show(run)
    assert (shown["state"], shown["step"], shown["failure"]) == ("stopped", 0, None)
