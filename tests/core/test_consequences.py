"""What follows from a preset: figures, and what the Hub has to give."""

from pathlib import Path

import pytest

from lora_tui.core.consequences import missing_here, size_facts, step_facts
from lora_tui.core.parameters import Trainable
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset


def test_the_batch_is_a_product_and_tokens_have_an_upper_bound() -> None:
    preset = changed(
        Preset(), {"engine.processes": 2, "model.max_seq_length": 512, "training.max_steps": 50}
    )
    assert dict(step_facts(preset)) == {
        "batch": "2 x 4 x 2 = 16 rows",
        "tokens/step": "up to 8,192",
        "steps": "50",
        "alpha/r": "1",
    }


def test_a_single_factor_is_no_product_and_epochs_stand_for_steps() -> None:
    values = {"training.gradient_accumulation_steps": 1, "training.num_train_epochs": 1.5}
    facts = dict(step_facts(changed(Preset(), values)))
    assert facts["batch"] == "2 rows"
    assert facts["epochs"] == "1.5" and "steps" not in facts


@pytest.mark.parametrize(
    ("values", "name", "value"),
    [
        ({"lora.r": 64, "lora.lora_alpha": 16.0}, "alpha/r", "0.25"),
        ({"lora.r": 64, "lora.lora_alpha": 16.0, "lora.use_rslora": True}, "alpha/sqrt(r)", "2"),
    ],
)
def test_the_scale_is_the_one_that_peft_applies(values: dict, name: str, value: str) -> None:
    assert dict(step_facts(changed(Preset(), values)))[name] == value


def test_full_fine_tuning_has_a_model_and_no_scale() -> None:
    preset = changed(Preset(), {"lora.method": "full"})
    trainable = Trainable(134_515_008, 134_515_008, 269_030_016, 210)
    assert dict(size_facts(preset, trainable)) == {
        "trains": "134.5M of 134.5M",
        "share": "100.0 %",
        "layers": "210",
        "model": "269 MB",
    }
    assert not any(name.startswith("alpha") for name, _ in step_facts(preset))


def test_what_is_neither_built_in_nor_here_has_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    assert missing_here(Preset()) == []
    preset = changed(Preset(), {"model.name_or_path": "a/m", "data.source": "a/d"})
    assert missing_here(preset) == ["the model a/m", "the data a/d"]
    (hub / "models--a--m" / "refs").mkdir(parents=True)
    (hub / "models--a--m" / "refs" / "main").write_text("abc")
    (hub / "models--a--m" / "snapshots" / "abc").mkdir(parents=True)
    (hub / "datasets--a--d" / "snapshots").mkdir(parents=True)
    assert missing_here(preset) == []
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    local = {"model.name_or_path": str(tmp_path), "data.source": str(rows)}
    assert missing_here(changed(Preset(), local)) == []
