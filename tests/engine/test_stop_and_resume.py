"""Stopping saves everything; resuming goes on as if nothing had happened."""

import signal
import subprocess
import sys
import time
from functools import cache

import pytest

from lora_tui.core import events, summary
from lora_tui.core.runs import Run
from lora_tui.engine import checkpoints
from tests.engine.conftest import Ended
from tools.terminal import wait_until

SETTINGS = (
    "model.dtype=float32",
    "lora.lora_dropout=0.1",
    "training.max_steps=14",
    "training.eval_steps=0",
    "training.save_steps=4",
    "training.per_device_train_batch_size=8",
    "training.gradient_accumulation_steps=2",
)
COMPARED = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")


def weights(run):
    """The adapter's tensors."""
    from safetensors.torch import load_file

    return load_file(run.run.adapter / "adapter_model.safetensors")


def curve(run):
    """The last event of every step, without times."""
    found = {event["step"]: {name: event[name] for name in COMPARED} for event in run.of("step")}
    return [found[step] for step in sorted(found)]


@pytest.fixture(scope="module")
def settings(few_rows):
    """On 60 rows, 14 steps are three and a half epochs, each with an odd end."""
    return (*SETTINGS, f"data.source={few_rows}")


@pytest.fixture(scope="module")
def uninterrupted(engines, settings):
    """A whole run by the transformers backend."""
    return engines.train_warm("demo", *settings, backend="transformers")


@pytest.fixture(scope="module")
def stopped(engines, settings):
    """The same run, stopped somewhere after its second step."""
    run = engines.create("demo", "engine.backend=transformers", *settings)
    end = engines.begin(run, "transformers")
    wait_until(lambda: '"step":2,' in said(run), 180, "it made no steps")
    engines.interrupt("transformers")
    return Ended(run, end())


def said(run):
    return run.events.read_text("utf-8") if run.events.exists() else ""


def test_a_stop_leaves_a_checkpoint_and_an_adapter(stopped):
    assert stopped.code == 0, stopped.log
    final = stopped.events[-1]
    assert final["kind"] == "stopped"
    assert 2 <= final["step"] < 14
    assert final["max_steps"] == 14
    assert len(stopped.of("stopping")) == 1
    assert stopped.of("step")[-1]["step"] == final["step"]
    assert (
        stopped.run.checkpoints / f"checkpoint-{final['step']}" / "trainer_state.json"
    ).is_file()
    assert (stopped.run.adapter / "adapter_model.safetensors").is_file()
    assert stopped.of("eval")[-1]["step"] == 0  # who stops does not want to wait for measuring


def test_a_resumed_run_equals_one_that_was_never_stopped(stopped, uninterrupted, engines):
    step = stopped.events[-1]["step"]
    resumed = engines.warm(stopped.run, "resume", "transformers")
    assert resumed.code == 0, resumed.log
    assert resumed.of("started")[-1]["resumed_from"] == step
    assert [event["step"] for event in resumed.of("eval")] == [0, 14]
    assert curve(resumed) == curve(uninterrupted)
    ours, theirs = weights(resumed), weights(uninterrupted)
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)
    assert resumed.of("eval")[-1]["scores"] == uninterrupted.of("eval")[-1]["scores"]
    card = (resumed.run.adapter / "README.md").read_text("utf-8")
    assert "held-out loss at step 0" in card
    assert "held-out loss at step 14" in card
    seconds = [event["seconds"] for event in resumed.of("step")]
    assert seconds == sorted(seconds)


def test_a_killed_run_goes_on_from_its_last_whole_checkpoint(engines, settings):
    run = engines.create("demo", "engine.backend=unsloth", *settings)
    engine = engines.start(run)
    while '"step":10,' not in (run.events.read_text() if run.events.exists() else ""):
        assert engine.poll() is None
        time.sleep(0.01)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    (run.checkpoints / "checkpoint-8" / "optimizer.pt").write_bytes(b"PK\x03\x04 cut off")
    (run.checkpoints / "checkpoint-12").mkdir(exist_ok=True)
    resumed = engines.warm(run, "resume", "unsloth")
    assert resumed.code == 0, resumed.log
    assert resumed.of("started")[-1]["resumed_from"] == 4
    again = [event for event in resumed.of("step") if event["step"] in range(5, 9)]
    assert len(again) == 8
    for first, second in zip(again[:4], again[4:], strict=True):
        assert first["loss"] == second["loss"]
        assert first["tokens"] == second["tokens"]


@pytest.fixture
def paused(engines, settings):
    """A run that waits after its first step, and what waits for its end."""
    run = engines.create("demo", "engine.backend=transformers", *settings)
    run.pause.touch()
    end = cache(engines.begin(run, "transformers"))
    wait_until(lambda: "paused" in kinds(run), 180, "it did not pause")
    yield run, end
    run.pause.unlink(missing_ok=True)
    end()  # the process is for others too


def kinds(run):
    return [event["kind"] for batch in events.batches(run.events) for event in batch]


def test_a_paused_run_goes_on_in_place_to_the_same_end(paused, uninterrupted):
    run, end = paused
    assert summary.headline(run).state == "paused" and kinds(run)[-1] == "paused"
    run.pause.unlink()
    wait_until(lambda: "resumed" in kinds(run), 180, "it did not go on")
    run.pause.touch()  # again, in the middle
    wait_until(lambda: kinds(run).count("paused") == 2, 180, "it did not pause again")
    run.pause.unlink()
    ended = Ended(run, end())
    assert ended.code == 0 and ended.events[-1]["kind"] == "finished", ended.log
    assert len(ended.of("launched")) == 0 and len(ended.of("started")) == 1
    assert curve(ended) == curve(uninterrupted)
    ours, theirs = weights(ended), weights(uninterrupted)
    assert all(bool((ours[name] == theirs[name]).all()) for name in theirs)
    assert ended.of("resumed")[0]["waited"] > 0


def test_stopping_a_paused_run_saves_it(paused, uninterrupted, engines):
    run, end = paused
    engines.interrupt("transformers")
    ended = Ended(run, end())
    assert ended.code == 0 and ended.events[-1]["kind"] == "stopped", ended.log
    step = ended.events[-1]["step"]
    assert [event["step"] for event in ended.of("checkpoint")] == [step]
    assert (run.adapter / "adapter_model.safetensors").is_file()
    run.pause.unlink()
    resumed = engines.warm(run, "resume", "transformers")
    assert resumed.of("started")[-1]["resumed_from"] == step
    assert curve(resumed) == curve(uninterrupted)


def test_a_run_ends_before_its_disk_is_full_and_loses_nothing(engines, settings, tmp_path):
    """A disk of 6 MB, of its own namespace; a checkpoint of this run takes 2 MB."""
    run = engines.create("demo", *settings, "engine.backend=transformers")
    script = (
        f"mount -t tmpfs -o size=6m none {tmp_path} && cp -a {run.path} {tmp_path}/run && "
        f"{sys.executable} -m lora_tui.engine train {tmp_path}/run; "
        f"cp -a {tmp_path}/run {run.path}.after"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=engines.environment, capture_output=True
    )
    after = Run(run.path.with_name(f"{run.id}.after"))
    ended = Ended(after, done.returncode)
    final = ended.events[-1]
    assert final["kind"] == "stopped" and 4 <= final["step"] < 14, done.stderr
    (said,) = [one["text"] for one in ended.of("warning") if "disk" in one["text"]]
    assert said.startswith("Stopped before the disk is full: a checkpoint takes")
    saved = checkpoints.last_complete(after)
    assert saved is not None and saved[0] == final["step"]
    assert (after.adapter / "adapter_model.safetensors").is_file()


def test_a_finished_run_resumes_to_the_same_end(uninterrupted, engines):
    """Neither a crash before the adapter costs anything, nor one before the base is measured."""
    before = weights(uninterrupted)
    base = uninterrupted.of("eval")[0]
    lines = uninterrupted.run.events.read_text("utf-8").splitlines(keepends=True)
    owed = [line for line in lines if '"eval"' not in line or '"step":0,' not in line]
    assert (base["step"], len(owed)) == (0, len(lines) - 1)
    uninterrupted.run.events.write_text("".join(owed), "utf-8")
    (uninterrupted.run.adapter / "adapter_model.safetensors").unlink()
    steps = len(uninterrupted.of("step"))
    again = engines.warm(uninterrupted.run, "resume", "transformers")
    assert again.events[-1]["kind"] == "finished"
    assert again.events[-1]["step"] == 14
    assert len(again.of("step")) == steps
    after = weights(again)
    assert all(bool((before[name] == after[name]).all()) for name in before)
    (measured,) = (event for event in again.of("eval") if event["step"] == 0)
    assert (measured["loss"], measured["scores"]) == (base["loss"], base["scores"])


def test_a_stop_while_loading_ends_at_once_with_nothing(engines, settings):
    run = engines.create("demo", "engine.backend=unsloth", *settings)
    ended = engines.stop_at(run, lambda text: '"started"' in text)
    assert ended.code == 0, ended.log
    assert [event["kind"] for event in ended.events][-2:] == ["stopping", "stopped"]
    assert ended.events[-1]["step"] == 0
    assert not ended.run.adapter.exists()
    resumed_kinds = [event["kind"] for event in ended.events]
    assert "step" not in resumed_kinds


def test_resuming_without_a_checkpoint_begins_again_and_says_so(engines, settings):
    run = engines.create("demo", *settings, "engine.backend=transformers", "training.max_steps=1")
    ended = engines.warm(run, "resume", "transformers")
    assert ended.events[-1]["kind"] == "finished"
    assert "resumed_from" not in ended.of("started")[0]
    assert "no complete checkpoint" in ended.of("warning")[0]["text"]
