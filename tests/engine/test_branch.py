"""A branch begins where its run stood, and from there on goes by its own settings."""

import json
import math
import subprocess
import sys

import pytest

from lora_tui.core import branching, preset_files, runs, summary
from lora_tui.core.runs import Run
from lora_tui.jobs.branch import branch
from tests.engine.conftest import Ended

SETTINGS = (
    "model.dtype=float32",
    "lora.lora_dropout=0.1",
    "training.max_steps=8",
    "training.save_steps=5",
    "training.warmup_steps=2",
    "training.learning_rate=2e-4",
    "training.per_device_train_batch_size=8",
    "training.gradient_accumulation_steps=2",
)
COMPARED = ("epoch", "loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")


@pytest.fixture(scope="module")
def by_transformers(engines, few_rows):
    """Eight steps on 60 rows, with a checkpoint at the fifth."""
    source = f"data.source={few_rows}"
    return engines.train_warm("demo", *SETTINGS, source, backend="transformers")


@pytest.fixture(scope="module", params=["transformers", "unsloth"])
def trained(request, engines, few_rows, by_transformers):
    """The same by each backend."""
    if request.param == "transformers":
        return by_transformers
    return engines.train_warm("demo", *SETTINGS, f"data.source={few_rows}", backend=request.param)


@pytest.fixture
def branched(engines, monkeypatch):
    """Makes a branch and trains it."""
    monkeypatch.setenv("LORA_TUI_HOME", str(engines.home))

    def make(ended, step, before=lambda run: None, **changes):
        values = {f"training.{name}": value for name, value in changes.items()}
        run = branch(branching.plan(ended.run, step, values), name="branch")
        before(run)
        return engines.warm(run, "resume", preset_files.load(run.preset).engine.backend)

    return make


def points(ended):
    return {one["step"]: {name: one[name] for name in COMPARED} for one in ended.of("step")}


def weights(ended):
    from safetensors.torch import load_file

    return load_file(ended.run.adapter / "adapter_model.safetensors")


def test_without_changes_it_goes_on_as_its_run_did(trained, branched):
    before = {path: path.read_bytes() for path in trained.run.path.rglob("*") if path.is_file()}
    ended = branched(trained, 5)
    assert ended.events[-1]["kind"] == "finished", ended.log
    theirs = points(trained)
    assert points(ended) == {step: theirs[step] for step in (6, 7, 8)}
    ours, wanted = weights(ended), weights(trained)
    assert all(bool((ours[name] == wanted[name]).all()) for name in wanted)
    assert {path: path.read_bytes() for path in before} == before
    assert ended.of("sample")[-1]["base"] == trained.of("sample")[0]["base"]
    card = (ended.run.adapter / "README.md").read_text("utf-8")
    assert "held-out loss at step 0" in card and "held-out loss at step 8" in card
    document = summary.show(ended.run)
    assert document["state"] == "finished" and document["step"] == document["max_steps"] == 8


def cosine(step, *, peak, warmup, steps):
    """The rate of a step by the textbook: counted from 1, taken with what came before it."""
    done = step - 1
    if done < warmup:
        return peak * done / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (done - warmup) / (steps - warmup)))


def test_changed_settings_really_hold(trained, branched):
    import torch

    ended = branched(
        trained,
        5,
        max_steps=12,
        learning_rate=1e-3,
        lr_scheduler_type="cosine",
        warmup_steps=3,
        weight_decay=0.25,
        save_steps=4,
        eval_steps=6,
        early_stopping_patience=9,
    )
    assert ended.events[-1]["kind"] == "finished", ended.log
    found = points(ended)
    assert list(found) == list(range(6, 13))
    for step, point in found.items():
        wanted = cosine(step, peak=1e-3, warmup=3, steps=12)
        assert point["learning_rate"] == pytest.approx(wanted, rel=1e-9)
    # The sixth step is computed on the weights of the fifth: only what it changes is another.
    assert found[6]["loss"] == points(trained)[6]["loss"]
    assert found[7]["loss"] != points(trained)[7]["loss"]
    assert {one["step"] for one in ended.of("checkpoint")} >= {8, 12}
    assert 10 not in {one["step"] for one in ended.of("checkpoint")}
    assert [one["step"] for one in ended.of("eval")] == [6, 12, 12]
    kept = ended.run.checkpoints / "checkpoint-12" / "optimizer.pt"
    groups = torch.load(kept, weights_only=True)["param_groups"]
    assert {group["initial_lr"] for group in groups} == {1e-3}
    assert {group["weight_decay"] for group in groups if group["params"]} == {0.25}


def test_a_finished_run_goes_on_with_rows_it_did_not_use(engines, few_rows, branched):
    settings = (*SETTINGS, "training.max_steps=2", f"data.source={few_rows}")
    first = engines.train_warm("demo", *settings, backend="transformers")
    assert first.of("data")[0]["train_rows"] == 32
    ended = branched(first, None, max_steps=4)
    assert list(points(ended)) == [3, 4]
    (report,) = ended.of("data")
    assert report["train_rows"] == 60
    assert points(ended)[4]["tokens"] == report["tokens"]  # each row once, none twice


def test_it_resumes_and_branches_again(by_transformers, branched, engines):
    ended = branched(by_transformers, None, max_steps=10)
    again = branched(ended, None, max_steps=11)
    assert list(points(again)) == [11]
    assert runs.read_info(again.run)["options"]["branch_planned"] == [8, 10]
    (again.run.adapter / "adapter_model.safetensors").unlink()  # as if it had crashed at its end
    resumed = engines.warm(again.run, "resume", "transformers")
    assert resumed.events[-1]["kind"] == "finished" and resumed.events[-1]["step"] == 11


def test_a_best_step_that_did_not_come_along_is_forgotten(by_transformers, branched):
    """Early stopping could not go back to it, and would wait for a loss that is never reached."""

    def long_ago(run):
        path = run.checkpoints / "checkpoint-5" / "trainer_state.json"
        state = json.loads(path.read_text("utf-8"))
        state["stateful_callbacks"]["Report"]["attributes"] |= {"best": 0.0, "best_step": 3}
        path.unlink()  # it is shared with the run's own
        path.write_text(json.dumps(state), "utf-8")

    ended = branched(by_transformers, 5, long_ago, eval_steps=1, early_stopping_patience=2)
    assert ended.events[-1]["step"] == 8, ended.log
    assert not any("Stopped early" in one["text"] for one in ended.of("warning"))


def test_a_branch_whose_checkpoint_is_gone_never_begins_anew(by_transformers, branched, engines):
    ended = branched(by_transformers, None, max_steps=9)
    for folder in ended.run.checkpoints.iterdir():
        (folder / "trainer_state.json").unlink()
    again = engines.warm(ended.run, "resume", "transformers")
    assert again.code == 1
    assert again.events[-1]["summary"].startswith("The checkpoint that this branch begins with")


def test_the_command_line_explains_it_and_starts_it(by_transformers, engines):
    run = by_transformers.run

    def cli(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "lora_tui", "resume", run.id, *arguments],
            env=engines.environment,
            capture_output=True,
            text=True,
        )

    refused = cli("--set", "lora.r=4", "--set", "training.seed=2")
    assert refused.returncode == 2 and refused.stdout == ""
    assert "lora.r: " in refused.stderr and "training.seed: " in refused.stderr
    settings = ("--set", "training.max_steps=6", "--set", "training.learning_rate=1e-4")
    done = cli("--from", "5", *settings, "--name", "shorter", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["name"] == "shorter" and document["state"] == "finished"
    assert document["step"] == document["max_steps"] == 6
    said = done.stderr.splitlines()
    assert said[0] == f"Branches from step 5 of {run.id}, which stays as it is."
    assert "It ends at step 6 instead of 8." in said
    made = Ended(Run(run.path.with_name(document["id"])), 0)
    assert list(points(made)) == [6]


def test_what_was_held_out_of_a_run_stays_held_out_of_its_branch(write_rows, tokenizer):
    from lora_tui.engine import data

    rows = [{"prompt": f"What is {number}?", "completion": f"{number}."} for number in range(400)]
    source = write_rows(*rows)
    fixed = (f"data.source={source}", "data.eval_fraction=0.3")

    def preset(steps):
        return preset_files.with_settings(
            preset_files.find("demo"), [*fixed, f"training.max_steps={steps}"]
        )

    first = data.prepare(preset(5), tokenizer)
    alone = data.prepare(preset(30), tokenizer)
    after = data.prepare(preset(30), tokenizer, [preset(5)])
    assert len(alone.held_out.examples) > len(first.held_out.examples)
    assert list(after.held_out.rows) == list(first.held_out.rows)
    taken = len(first.train.examples)
    assert list(after.train.rows)[:taken] == list(first.train.rows)
    assert after.stages == (taken,) and len(after.train.examples) > taken
    held = {str(row) for row in after.held_out.rows}
    assert not held & {str(row) for row in after.train.rows}
