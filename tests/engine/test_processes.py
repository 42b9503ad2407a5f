"""One run in two processes: the same run as in one, and one end for both."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from lora_tui.core import runs, summary
from tests.engine.conftest import Ended
from tools.terminal import wait_until

SETTINGS = (
    "engine.device=cpu",
    "model.dtype=float32",
    "lora.lora_dropout=0.0",
    "training.max_steps=9",  # of eight an epoch, the last of them half as large
    "training.eval_steps=4",
    "training.save_steps=5",
    "training.warmup_steps=0",
    "training.per_device_train_batch_size=2",
)
COMPARED = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")


def in_two(engines, *settings):
    """A run in two processes that is not started yet."""
    return engines.create("demo", *settings, "engine.processes=2")


def tensors(folder):
    """The weights of an adapter."""
    from safetensors.torch import load_file

    return load_file(folder / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def one(engines, few_rows):
    """What there is to equal: one process that takes four batches a step."""
    settings = (*SETTINGS, f"data.source={few_rows}", "training.gradient_accumulation_steps=4")
    return engines.train_warm("demo", *settings, backend="transformers")


@pytest.fixture(scope="module")
def two(engines, few_rows):
    """Two processes that take two each."""
    settings = (*SETTINGS, f"data.source={few_rows}", "training.gradient_accumulation_steps=2")
    run = in_two(engines, *settings)
    return Ended(run, engines.start(run).wait(timeout=300))


def test_two_processes_train_as_one_does(one, two):
    assert two.code == 0, two.log
    ours, theirs = two.of("step"), one.of("step")
    assert [event["step"] for event in ours] == list(range(1, 10))
    for mine, its in zip(ours, theirs, strict=True):
        for name in ("epoch", "learning_rate", "tokens", "trained_tokens"):
            assert mine[name] == its[name]
        assert mine["loss"] == pytest.approx(its["loss"], abs=1e-5)
        assert mine["grad_norm"] == pytest.approx(its["grad_norm"], abs=1e-4)
    ours, theirs = tensors(two.run.adapter), tensors(one.run.adapter)
    for name, its in theirs.items():  # Adam makes a whole step of a gradient that is hardly one
        assert float((ours[name] - its).norm()) < 1e-3 * float(its.norm()), name
    assert any(float(ours[name].abs().max()) > 1e-3 for name in theirs if "lora_B" in name)


def test_what_they_measure_is_what_one_measures(one, two):
    assert [event["step"] for event in two.of("eval")] == [0, 4, 8, 9]
    for mine, its in zip(two.of("eval"), one.of("eval"), strict=True):
        assert mine["loss"] == pytest.approx(its["loss"], abs=1e-5)
        assert mine.get("scores") == its.get("scores")


def test_only_the_first_process_reports(one, two):
    kinds = [[event["kind"] for event in run.events] for run in (one, two)]
    assert kinds[0] == kinds[1]
    assert two.of("started")[0]["backend"] == "transformers"
    assert two.of("started")[0]["device"].startswith("2 x cpu")
    assert two.of("finished")[0]["tokens_per_second"] > 0
    assert not runs.is_alive(two.run) and not (two.run.path / ".reserve").exists()


@pytest.fixture(scope="module")
def killed(engines, few_rows):
    """A run with dropout that paused, went on, and of which the second process was killed."""
    run = in_two(
        engines,
        *SETTINGS,
        f"data.source={few_rows}",
        "lora.lora_dropout=0.1",
        "training.max_steps=60",
        "training.eval_steps=0",
        "training.save_steps=3",
        "training.logging_steps=2",  # so that a point of the chart is cut in two
        "training.gradient_accumulation_steps=2",
    )
    run.pause.touch()
    engine = engines.start(run)
    try:
        wait_until(lambda: '"paused"' in said(run), 200, "it did not pause")
        run.pause.unlink()
        wait_until(lambda: '"step":6,"epoch"' in said(run), 200, "it did not go on")
        children = Path(f"/proc/{engine.pid}/task/{engine.pid}/children").read_text("ascii")
        os.kill(int(children.split()[1]), signal.SIGKILL)
        code = engine.wait(timeout=180)
    finally:
        engine.kill()
    shutil.copy(run.events, run.path / "at-the-kill.jsonl")
    return Ended(run, code)


def said(run):
    return run.events.read_text("utf-8") if run.events.exists() else ""


def test_one_that_is_killed_ends_them_all_by_name(killed):
    assert killed.code == 1
    assert [event["step"] for event in killed.of("paused")] == [1]
    assert killed.of("resumed")[0]["waited"] > 0
    (failed,) = killed.of("failed")
    assert failed["summary"] == "Process 2 of 2 was ended by SIGKILL."
    assert failed["step"] >= 6
    assert not runs.is_alive(killed.run)


@pytest.fixture(scope="module")
def resumed(engines, killed):
    """The same run, resumed at its third step and stopped at its eighth."""
    for path in killed.run.checkpoints.iterdir():
        if path.name != "checkpoint-3":
            shutil.rmtree(path)
    before = said(killed.run)
    engine = engines.start(killed.run, "resume")
    try:
        again = '"step":8,"epoch"'
        wait_until(lambda: again in said(killed.run).removeprefix(before), 200, "it did not resume")
        os.killpg(engine.pid, signal.SIGTERM)
        code = engine.wait(timeout=180)
    finally:
        engine.kill()
    return Ended(killed.run, code), before.count("\n")


def test_a_resume_equals_the_run_that_was_not_killed(resumed):
    ended, lines = resumed
    assert ended.of("started")[-1]["resumed_from"] == 3
    points = [
        {event["step"]: [event[name] for name in COMPARED] for event in part if is_step(event)}
        for part in (ended.events[:lines], ended.events[lines:])
    ]
    assert {4, 6} <= points[0].keys() & points[1].keys()
    for step in points[0].keys() & points[1].keys():
        assert points[0][step] == points[1][step]


def is_step(event):
    return event["kind"] == "step"


def test_a_stop_leaves_one_checkpoint_and_the_adapter(resumed):
    ended, _ = resumed
    assert ended.code == 0, ended.log
    final = ended.events[-1]
    assert final["kind"] == "stopped" and 8 <= final["step"] < 60
    assert len(ended.of("stopping")) == 1
    checkpoint = ended.run.checkpoints / f"checkpoint-{final['step']}"
    assert runs.checkpoint_steps(ended.run)[-1] == final["step"]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in checkpoint.iterdir()}
    saved, kept = tensors(checkpoint), tensors(ended.run.adapter)
    assert all(bool((saved[name] == kept[name]).all()) for name in kept)
    assert summary.headline(ended.run).state == "stopped"


def test_a_divergence_ends_both_with_one_failure(engines, few_rows):
    run = in_two(
        engines,
        *SETTINGS,
        f"data.source={few_rows / 'train.jsonl'}",
        "data.eval_fraction=0",
        "training.learning_rate=1.0",
        "lora.lora_alpha=1e6",  # far beyond what chance could bring back
        "training.max_steps=60",
    )
    ended = Ended(run, engines.start(run).wait(timeout=300))
    assert ended.code == 1
    (failed,) = ended.of("failed")
    assert "loss" in failed["summary"] or "gradient" in failed["summary"]
    assert "training.learning_rate" in failed["hint"]
    assert "engine.divergence.Diverged" in failed["trace_tail"]  # the trace of who saw it
    assert ended.events[-1] == failed and ended.events[-2]["kind"] == "step"
