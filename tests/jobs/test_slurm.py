"""Runs under SLURM: a real one of one node, where it is installed (tools/slurm_here.sh)."""

import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import config, events, queue, runs, slurm, summary
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.preset_files import find, with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import control, keeping, launch
from lora_tui.jobs import queue as turns
from lora_tui.jobs import slurm as jobs
from tests.slurm import Slurm, missing
from tools.terminal import wait_until

pytestmark = pytest.mark.xdist_group("slurm")

SHORT = ["training.max_steps=12", "training.save_steps=0", "data.eval_fraction=0"]
ROW = '{"prompt": "What is ice?", "completion": "Ice is water, frozen %d times."}\n'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    if absent := missing():
        pytest.skip(f"SLURM is not installed ({', '.join(absent)}): tools/slurm_here.sh does it")
    with Slurm(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture
def real(cluster: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return cluster


def short(device: str = "cpu") -> Preset:
    """Twelve steps on rows of its own, none held out: measuring takes longer than training."""
    rows = Path.home() / "rows.jsonl"
    rows.write_text("".join(ROW % number for number in range(40)))
    return with_settings(find("demo"), [*SHORT, f"data.source={rows}", f"engine.device={device}"])


def submit(name: str, *options: str, device: str = "cpu") -> tuple[Run, str]:
    run = launch.submit(short(device), name=name, command="", options=options)
    allowed = slurm.allowed(run)
    assert allowed and allowed[1] == platform.node()
    return run, allowed[0]


def read(run: Run) -> list[dict[str, Any]]:
    return [event for batch in events.batches(run.events) for event in batch]


def steps(run: Run) -> list[tuple[Any, ...]]:
    names = ("step", "loss", "grad_norm", "learning_rate", "tokens", "trained_tokens")
    said = [event for event in read(run) if event["kind"] == "step"]
    return [tuple(event.get(name) for name in names) for event in said]


def state(run: Run) -> str:
    return summary.headline(run).state


def ask_anew() -> None:
    """Asks SLURM now, though it may just have been asked."""
    jobs._said.at = float("-inf")
    jobs.look()


def pause_at_work(run: Run) -> None:
    wait_until(
        lambda: runs.is_alive(run) and not run.ticket.exists(), 60, f"it did not start: {log(run)}"
    )
    control.pause(run)
    wait_until(lambda: state(run) == "paused", 120, f"it does not wait: {log(run)}")


def log(run: Run) -> str:
    return run.slurm_log.read_text() if run.slurm_log.exists() else ""


def start_now(cluster: Slurm, job: str) -> None:
    """SLURM lets a job that it requeued wait for minutes; its node, for a second."""
    wait_until(lambda: cluster.state(job) == "PENDING", 180, "it is not requeued")
    wait_until(lambda: "BeginTime" in cluster.ask("squeue", "-h", "-o%r", f"-j{job}"), 180, "held")
    cluster.ask("scontrol", "update", f"jobid={job}", "StartTime=now+2")


def launches(run: Run) -> list[str]:
    return [event["verb"] for event in read(run) if event["kind"] == "launched"]


def test_the_batch_script(tmp_path: Path) -> None:
    run = Run(tmp_path / "my runs" / "20261128-1200-r16%")
    options = ["--partition=gpu --time=4:00:00", '--comment="a b"']
    home, python = Path("/data/it's"), "/opt/venv/bin/python"
    written = slurm.script(run, gpus=2, options=options, home=home, python=python)
    assert (
        written
        == f"""#!/bin/sh
#SBATCH --job-name=20261128-1200-r16%
#SBATCH --output="{tmp_path}/my runs/20261128-1200-r16%%/slurm.log"
#SBATCH --open-mode=append
#SBATCH --chdir="{tmp_path}/my runs/20261128-1200-r16%"
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gres=gpu:2
#SBATCH --partition=gpu --time=4:00:00
#SBATCH --comment="a b"

export LORA_TUI_HOME='/data/it'"'"'s'
exec /opt/venv/bin/python -P -m lora_tui.jobs.slurm_batch '{run.path}'
"""
    )


def test_what_cannot_be_submitted_is_named_at_once() -> None:
    with pytest.raises(BadInput) as error:
        slurm.check_options(["gpu", "--array=1-3 --time=1", '--comment="a', "--x\nrm -r ."])
    assert all(part in str(error.value) for part in ('"gpu"', "--array=1-3", "No closing", "rm -r"))
    slurm.check_options(["--partition=gpu --time=4:00:00", "-p gpu"])
    assert slurm.gpus_of(Preset()) == 1
    assert slurm.gpus_of(with_settings(Preset(), ["engine.device=cpu"])) == 0
    with pytest.raises(BadInput, match="SLURM picks the GPU"):
        slurm.gpus_of(with_settings(Preset(), ["engine.device=cuda:1"]))


def test_a_run_that_is_cut_off_twice_ends_as_an_undisturbed_one(real: Slurm) -> None:
    alone = launch.start(short(), name="undisturbed")
    run, job = submit("cut off")
    assert (state(run), summary.show(run)["slurm"]) == ("queued", job)
    pause_at_work(run)
    assert queue.read(run) is None

    real.ask("scancel", "--signal=USR1", "--batch", job)  # what it gets before the time limit
    wait_until(lambda: state(run) == "queued", 180, "it was not told that time is up")
    assert len(runs.checkpoint_steps(run)) == 1
    start_now(real, job)
    pause_at_work(run)

    real.crash_controller(job)
    assert state(run) == "paused" and real.state(job) == "RUNNING"
    real.ask("sbatch", "--partition=high", "--output=/dev/null", "--wrap=true")  # preempts it
    wait_until(lambda: state(run) == "queued", 180, "it was not preempted")
    wait_until(lambda: real.state(job) == "PENDING", 180, "it is not requeued")
    ask_anew()
    assert jobs.standing(run).startswith(f"SLURM job {job} is pending")
    start_now(real, job)
    wait_until(lambda: state(run) == "finished", 120, f"it did not end: {log(run)}")
    assert launches(run) == ["train", "resume", "resume"]
    assert control.wait_until_dead(alone, 120)
    latest = {one[0]: one for one in steps(run)}
    assert list(latest.values()) == steps(alone)
    (weights,) = {(one.adapter / "adapter_model.safetensors").read_bytes() for one in (run, alone)}
    assert weights


def test_a_finished_job_that_is_launched_again_does_nothing(real: Slurm) -> None:
    run, job = submit("once", "--begin=now+1hour")
    events.append(run.events, "finished", step=12)
    before = read(run)
    real.ask("scontrol", "update", f"jobid={job}", "StartTime=now+2")
    wait_until(lambda: "finished; nothing was done" in log(run), 180, "it was not launched")
    assert slurm.allowed(run) is None and queue.read(run) is None
    wait_until(lambda: real.state(job) == "COMPLETED", 180, "it did not end")
    real.ask("scontrol", "requeue", job)
    start_now(real, job)
    wait_until(lambda: "not to be started" in log(run), 180, "it was not launched")
    assert read(run) == before and state(run) == "finished"


def test_a_job_that_waits_is_held_released_cancelled_or_lost(real: Slurm) -> None:
    later = "--begin=now+1hour"
    with pytest.raises(LoraTuiError, match=r"SLURM refuses: .*invalid partition"):
        submit("refused", "--partition=nowhere")
    assert runs.list_runs() == []

    config.path().write_text(f'[slurm]\noptions = "{later}"\n')
    run, job = submit("waits")
    control.pause(run)
    reason = ("squeue", "--noheader", f"--jobs={job}", "--format=%r")
    assert summary.show(run)["held"] and "JobHeld" in real.ask(*reason)
    launch.resume(run)
    assert not summary.show(run)["held"] and "JobHeld" not in real.ask(*reason)
    ask_anew()
    assert jobs.standing(run).startswith(f"SLURM job {job} is pending")
    turns.dispatch()  # it is not this machine's to start
    assert state(run) == "queued" and not keeping.is_needed()
    control.stop(run)
    assert state(run) == "stopped" and slurm.allowed(run) is None
    wait_until(lambda: real.state(job) == "CANCELLED", 180, "the job waits on")

    launch.resume(run, options=[])
    (again, _) = slurm.allowed(run) or ("", "")
    assert again != job and state(run) == "queued"
    real.ask("scancel", again)
    wait_until(lambda: real.state(again) == "CANCELLED", 180, "the job waits on")
    ask_anew()
    shown = summary.show(run)
    assert shown["state"] == "failed" and f"job {again} is gone" in shown["failure"]["summary"]
    assert queue.read(run) is None and launches(run) == []


def test_a_run_on_a_gpu_of_another_machine_is_stopped_and_stays_so(
    real: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, job = submit("elsewhere", device="auto")
    assert "TresPerNode=gres:gpu:1" in real.ask("scontrol", "show", "job", job)
    pause_at_work(run)
    with monkeypatch.context() as login_node:
        login_node.setattr(platform, "node", lambda: "login")
        control.stop(run)
    assert control.wait_until_dead(run, 120)
    wait_until(lambda: real.state(job) == "COMPLETED", 180, "the job goes on")
    assert state(run) == "stopped" and runs.checkpoint_steps(run) == [1]
    real.ask("scontrol", "requeue", job)
    start_now(real, job)
    wait_until(lambda: "not to be started" in log(run), 180, "it was not launched")
    assert state(run) == "stopped" and launches(run) == ["train"]


def test_a_time_limit_too_short_for_a_step_is_named_not_tried_for_ever(real: Slurm) -> None:
    run, job = submit("short")
    wait_until(lambda: runs.is_alive(run), 180, "it did not start")
    real.ask("scancel", "--signal=USR1", "--batch", job)
    assert control.wait_until_dead(run, 120)
    wait_until(lambda: state(run) == "failed", 180, log(run))
    failure = summary.show(run)["failure"]
    assert failure and "leaves no time for a step" in failure["summary"]
    assert slurm.allowed(run) is None and queue.read(run) is None
