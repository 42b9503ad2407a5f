"""A whole run, seen from outside: its events, its files, and its adapter in other hands."""

import json
import math
import subprocess
import sys

import pytest

from lora_tui.core import parameters, preset_files, summary


def test_the_events_tell_the_whole_story(short_run):
    assert short_run.code == 0, short_run.log
    kinds = [event["kind"] for event in short_run.events]
    assert kinds[0] == "started"
    assert kinds[-1] == "finished"
    assert kinds.index("step") < kinds.index("eval")  # under an adapter the base can wait
    assert [event["step"] for event in short_run.of("step")] == list(range(1, 12))
    assert [event["step"] for event in short_run.of("eval")] == [0, 4, 8, 11]
    assert [event["step"] for event in short_run.of("checkpoint")] == [4, 8, 11]
    started = short_run.of("started")[0]
    assert {"pid", "host", "device", "versions"} <= started.keys()
    assert started["backend"] in short_run.run.preset.read_text("utf-8")


def test_nothing_goes_to_the_log_but_words(short_run):
    assert "{'loss'" not in short_run.log
    assert "\r" not in short_run.log
    assert "Traceback" not in short_run.log


def test_the_loss_falls_and_the_adapter_is_counted_as_the_header_says(short_run):
    first, *_, last = short_run.of("eval")
    assert last["loss"] < 0.9 * first["loss"]
    assert last["perplexity"] == pytest.approx(math.exp(last["loss"]))
    model = short_run.of("model")[0]
    counted = parameters.count_trainable(
        parameters.read_base("demo"), preset_files.load(short_run.run.preset)
    )
    assert model["trainable_parameters"] == counted.parameters
    assert model["total_parameters"] == counted.total


def test_scores_stand_at_both_ends_only(short_run):
    scored = [event["step"] for event in short_run.of("eval") if "scores" in event]
    assert scored == [0, 11]
    assert short_run.of("eval")[0]["scores"]["manner"] < 0.05
    first, last = short_run.of("sample")
    assert "tuned" not in first
    assert last["base"] == first["base"]
    assert last["prompt"] == first["prompt"]


def test_tokens_are_counted_by_hand(short_run, tokenizer):
    """One epoch's worth of rows is not seen here, so the count is checked against the collator."""
    steps = short_run.of("step")
    data = short_run.of("data")[0]
    assert data["train_rows"] == 66  # eleven steps of two batches of three: no more are read
    assert steps[-1]["epoch"] == pytest.approx(66 / 800)  # of all that there are
    assert steps[-1]["tokens"] == data["tokens"]  # every row once
    assert steps[-1]["trained_tokens"] == round(data["tokens"] * data["trained_share"])
    pace = [step["seconds"] for step in steps]
    assert pace == sorted(pace)
    wall = steps[-1]["t"] - steps[0]["t"]
    assert pace[-1] - pace[0] < wall  # evaluations and checkpoints are not in it


def test_the_final_event_carries_the_figures(short_run):
    final = short_run.of("finished")[0]
    steps = short_run.of("step")
    assert final["step"] == final["max_steps"] == 11
    assert final["adapter"] == "adapter"
    weights = short_run.run.adapter / "adapter_model.safetensors"
    assert final["adapter_bytes"] == weights.stat().st_size
    assert final["seconds_per_step"] == pytest.approx(steps[-1]["seconds"] / 11, rel=0.05)
    assert final["peak_memory_bytes"] > 50_000_000
    document = summary.show(short_run.run)
    assert document["state"] == "finished"
    assert document["scores"]["manner"]["first"] == 0
    assert document["eval_loss"]["last"] < document["eval_loss"]["first"]


def test_the_adapter_folder_is_pefts_own(short_run):
    names = {path.name for path in short_run.run.adapter.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "tokenizer.json"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]
    assert not list(short_run.run.path.glob(".adapter*"))
    config = json.loads((short_run.run.adapter / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"].endswith("lora_tui/assets/demo-model")
    assert (config["r"], config["lora_alpha"]) == (8, 16)
    card = (short_run.run.adapter / "README.md").read_text("utf-8")
    assert "held-out loss at step 11" in card
    assert "max_steps = 11" in card
    assert "hf_" not in card


def test_the_run_directory_is_private(short_run):
    assert (short_run.run.adapter.stat().st_mode & 0o077) == 0
    assert (short_run.run.checkpoints.stat().st_mode & 0o077) == 0


def test_both_backends_compute_the_same_loss(both_backends):
    losses = {name: [e["loss"] for e in run.of("step")] for name, run in both_backends.items()}
    for ours, theirs in zip(losses["unsloth"], losses["transformers"], strict=True):
        assert ours == pytest.approx(theirs, abs=1e-3)
    assert losses["unsloth"][0] == pytest.approx(losses["transformers"][0], abs=1e-5)


def test_plain_peft_loads_the_adapter_and_measures_the_reported_loss(short_run, tokenizer):
    """By hand, without the engine: mean loss over trained tokens of the held-out rows."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from lora_tui.core import locations
    from lora_tui.engine import data

    preset = preset_files.load(short_run.run.preset)
    base = AutoModelForCausalLM.from_pretrained(
        locations.assets_folder() / "demo-model", dtype=torch.float32
    )
    rows = data.prepare(preset, tokenizer).held_out.examples

    def loss_of(model) -> float:
        total, count = 0.0, 0
        for row in rows:
            ids = torch.tensor([list(row.input_ids)])
            labels = torch.tensor([list(row.labels)])
            with torch.no_grad():
                logits = model(input_ids=ids).logits[0, :-1].float()
            chosen = labels[0, 1:] != -100
            total += torch.nn.functional.cross_entropy(
                logits[chosen], labels[0, 1:][chosen], reduction="sum"
            ).item()
            count += int(chosen.sum())
        return total / count

    assert loss_of(base) == pytest.approx(short_run.of("eval")[0]["loss"], abs=1e-4)
    tuned = PeftModel.from_pretrained(base, short_run.run.adapter).eval()
    assert loss_of(tuned) == pytest.approx(short_run.of("eval")[-1]["loss"], abs=1e-4)


def test_unsloth_loads_the_adapter(both_backends, fresh_python):
    adapter = both_backends["transformers"].run.adapter
    printed = fresh_python(
        "from unsloth import FastLanguageModel\n"
        f"model, _ = FastLanguageModel.from_pretrained({str(adapter)!r}, load_in_4bit=False)\n"
        "names = [n for n, p in model.named_parameters() if 'lora_B' in n and p.abs().sum() > 0]\n"
        "print('loaded', len(names))"
    )
    assert printed.splitlines()[-1] == "loaded 28"


def test_the_first_step_is_the_hand_calculated_mean(both_backends, tokenizer):
    """Two batches of unequal length in one step: the mean is over tokens, not over batches."""
    import torch
    from transformers import AutoModelForCausalLM

    from lora_tui.core import locations
    from lora_tui.engine import data

    run = both_backends["transformers"]
    preset = preset_files.load(run.run.preset)
    base = AutoModelForCausalLM.from_pretrained(
        locations.assets_folder() / "demo-model", dtype=torch.float32
    )
    rows = data.prepare(preset, tokenizer).train.examples
    first = run.of("step")[0]
    found = _rows_with(rows, first["tokens"], first["trained_tokens"], preset)
    total = count = 0
    for row in found:
        ids, labels = torch.tensor([list(row.input_ids)]), torch.tensor(list(row.labels))[1:]
        with torch.no_grad():
            logits = base(input_ids=ids).logits[0, :-1]
        chosen = labels != -100
        total += torch.nn.functional.cross_entropy(
            logits[chosen], labels[chosen], reduction="sum"
        ).item()
        count += int(chosen.sum())
    assert count == first["trained_tokens"]
    assert total / count == pytest.approx(first["loss"], abs=1e-4)


def _rows_with(rows, tokens, trained, preset):
    """The six rows of the first step, in the trainer's own order."""
    from accelerate.data_loader import SeedableRandomSampler

    sampler = SeedableRandomSampler(rows, data_seed=preset.training.seed)
    chosen = [rows[index] for index in list(sampler)[:6]]
    assert sum(len(row.input_ids) for row in chosen) == tokens
    assert sum(row.trained for row in chosen) == trained
    return chosen


SPIKED = """
import sys
from pathlib import Path
from lora_tui.engine import train

def with_a_spike(job, checkpoint, work=train.train):
    from lora_tui.engine.trainer import Trainer

    step = Trainer.training_step

    def spiked(self, *args, **kwargs):
        loss = step(self, *args, **kwargs)
        return loss * float("nan") if self.state.global_step == 2 else loss

    Trainer.training_step = spiked
    work(job, checkpoint)

train.train = with_a_spike
sys.exit(train.main(Path(sys.argv[1]), resume=False))
"""


def test_one_loss_that_is_none_does_not_spoil_those_after_it(engines, few_rows):
    run = engines.create(
        "demo",
        f"data.source={few_rows}",
        "training.stop_on_divergence=false",
        "training.max_steps=5",
        "training.eval_steps=0",
        "training.save_steps=0",
    )
    done = subprocess.run(
        [sys.executable, "-c", SPIKED, str(run.path)],
        cwd=run.path,
        env=engines.environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in run.events.read_text("utf-8").splitlines()]
    losses = [event["loss"] for event in events if event["kind"] == "step"]
    assert [loss == "nan" for loss in losses] == [False, False, True, False, False]
