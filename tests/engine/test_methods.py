"""Full fine-tuning and the kinds of adapter: each result used by plain transformers and PEFT."""

import json

import pytest

from lora_tui.core import preset_files
from lora_tui.engine import data

FEW = (
    "training.max_steps=4",
    "training.eval_steps=0",
    "training.save_steps=0",
    "training.warmup_steps=0",
)


def held_out_loss(ended, tokenizer, path=None, method="full"):
    """By hand, row by row, of what plain transformers and PEFT load; of the untouched base."""
    import torch

    from tests.engine import plain

    model = plain.load(path, method)
    rows = data.prepare(preset_files.load(ended.run.preset), tokenizer).held_out.examples
    total = count = 0
    for row in rows:
        ids, labels = torch.tensor([list(row.input_ids)]), torch.tensor(list(row.labels))[1:]
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, :-1].float()
        chosen = labels != -100
        total += torch.nn.functional.cross_entropy(
            logits[chosen], labels[chosen], reduction="sum"
        ).item()
        count += int(chosen.sum())
    return total / count


@pytest.mark.parametrize("backend", ["unsloth", "transformers"])
def test_full_fine_tuning_leaves_a_model(engines, tokenizer, few_rows, backend):
    data_setting = f"data.source={few_rows}"
    ended = engines.train_warm("demo", "lora.method=full", data_setting, *FEW, backend=backend)
    assert ended.code == 0, ended.events[-1]
    final, told = ended.events[-1], ended.of("model")[0]
    kinds = [event["kind"] for event in ended.events]
    assert kinds.index("eval") < kinds.index("step")  # afterwards the base is gone
    assert told["trainable_parameters"] == told["total_parameters"] == 3_672_320
    assert told["dtype"] == "float32"  # the weights that are trained; computing is in bfloat16
    assert final["model"] == "model"
    assert "adapter" not in final
    assert not ended.run.adapter.exists()
    config = json.loads((ended.run.model / "config.json").read_text())
    assert config["dtype"] == "bfloat16"
    size = (ended.run.model / "model.safetensors").stat().st_size
    assert final["model_bytes"] == size == pytest.approx(3_672_320 * 2, rel=0.01)
    loss = held_out_loss(ended, tokenizer, ended.run.model)
    assert loss < 0.5 * ended.of("eval")[0]["loss"]
    assert loss == pytest.approx(ended.of("eval")[-1]["loss"], rel=0.05)


@pytest.mark.parametrize(
    ("backend", "settings", "rank"),
    [
        ("transformers", ("lora.init_lora_weights=pissa",), 16),
        ("unsloth", ("lora.init_lora_weights=olora", "lora.use_rslora=true"), 16),
        ("unsloth", ("lora.use_dora=true", "lora.target_modules=all-linear"), 8),
        ("transformers", ("lora.bias=all", "lora.init_lora_weights=orthogonal"), 8),
    ],
    ids=["pissa", "olora-rslora", "dora-all-linear", "orthogonal-bias"],
)
def test_every_kind_of_adapter_works_on_the_untouched_base(  # noqa: PLR0917 - fixtures
    engines, tokenizer, few_rows, backend, settings, rank
):
    ended = engines.train_warm(
        "demo",
        "model.dtype=float32",
        f"data.source={few_rows}",
        *settings,
        *FEW,
        backend=backend,
    )
    assert ended.code == 0, ended.events[-1]
    config = json.loads((ended.run.adapter / "adapter_config.json").read_text())
    assert config["r"] == rank
    assert config["init_lora_weights"] in (True, "orthogonal")
    first, last = (ended.of("eval")[place]["loss"] for place in (0, -1))
    assert held_out_loss(ended, tokenizer) == pytest.approx(first, abs=1e-3)
    loss = held_out_loss(ended, tokenizer, ended.run.adapter, "lora")
    assert loss == pytest.approx(last, abs=1e-3)
    assert last < first


def test_early_stopping_keeps_what_measured_best(engines, tokenizer, few_rows):
    """A learning rate that ruins the model after a good beginning."""
    ended = engines.train_warm(
        "demo",
        "model.dtype=float32",
        "training.max_steps=40",
        "training.learning_rate=0.05",
        "training.warmup_steps=30",
        "training.lr_scheduler_type=constant_with_warmup",
        "training.eval_steps=2",
        "training.save_steps=0",
        "training.early_stopping_patience=3",
        "training.stop_on_divergence=false",
        f"data.source={few_rows}",
        backend="transformers",
    )
    assert ended.code == 0, ended.events[-1]
    measured = {event["step"]: event["loss"] for event in ended.of("eval") if "scores" not in event}
    best = min(measured, key=lambda step: measured[step])
    assert ended.events[-1]["step"] == best + 6
    assert f"since step {best}" in ended.of("warning")[0]["text"]
    loss = held_out_loss(ended, tokenizer, ended.run.adapter, "lora")
    assert loss == pytest.approx(measured[best], abs=1e-4)
