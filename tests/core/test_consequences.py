"""What follows from a preset, in figures."""

from dataclasses import replace

import pytest

from lora_tui.core import runs
from lora_tui.core.consequences import (
    memory_facts,
    size_facts,
    step_facts,
    time_facts,
)
from lora_tui.core.measured import Measured
from lora_tui.core.parameters import Trainable, read_base
from lora_tui.core.platforms import Place, Platform
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
    one_by_one = changed(Preset(), {"training.per_device_train_batch_size": 1})
    assert dict(step_facts(one_by_one))["batch"] == "1 x 4 = 4 rows"
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


PLACE = Place(Platform("transformers", "cpu", bfloat16=True), free=10_000_000_000)


def test_memory_is_said_by_part_with_the_largest_batch_that_fits() -> None:
    base = read_base("demo")
    preset = changed(Preset(), {"model.name_or_path": "demo", "model.max_seq_length": 512})
    memory, parts = memory_facts(preset, base, PLACE, None)
    assert [name for name, _ in memory] == ["memory", "fits"]
    assert memory[0][1].endswith("of 10 GB")
    most = int(memory[1][1].removeprefix("batch ").replace(",", ""))
    assert most > 2
    names = ["program", "weights", "adapter", "gradients", "optimiser", "activations", "logits"]
    assert [name for name, _ in parts] == names
    small = replace(PLACE, free=100_000_000)
    assert dict(memory_facts(preset, base, small, None)[0])["fits"] == "not one row"
    unknown = replace(PLACE, free=None)
    assert [name for name, _ in memory_facts(preset, base, unknown, None)[0]] == ["memory"]


def test_several_processes_take_their_memory_each() -> None:
    base = read_base("demo")
    preset = changed(Preset(), {"model.name_or_path": "demo", "engine.processes": 4})
    memory, parts = memory_facts(preset, base, PLACE, None)
    assert memory[0][0] == "memory each" and memory[0][1].endswith("of 2.5 GB")
    alone = memory_facts(changed(preset, {"engine.processes": 1}), base, PLACE, None)[1]
    assert dict(parts)["gradients"] != dict(alone)["gradients"]
    on_gpu = replace(PLACE, platform=Platform("transformers", "cuda", bfloat16=True))
    assert memory_facts(preset, base, on_gpu, None)[0][0][1].endswith("of 10 GB")


def test_rows_known_to_be_short_take_less_memory() -> None:
    base = read_base("demo")
    shapes = {"model.name_or_path": "demo", "training.per_device_train_batch_size": 64}
    preset = changed(Preset(), {**shapes, "model.max_seq_length": 512})
    short = memory_facts(preset, base, PLACE, {"tokens": {"max": 40}})[0]
    assert short != memory_facts(preset, base, PLACE, None)[0]
    cut = memory_facts(changed(preset, {"model.max_seq_length": 40}), base, PLACE, None)[0]
    assert short == cut


def test_time_comes_from_a_step_that_was_measured() -> None:
    preset = changed(Preset(), {"training.max_steps": 100})
    assert time_facts(preset, None, None) == [("time", "unknown until checked")]
    run = runs.create(preset, kind="check")
    found = Measured(preset, run, seconds_per_step=3.0)
    assert time_facts(preset, found, None) == [
        ("time", "05:00"),
        ("a step", "3 s by the check"),
    ]
    epochs = changed(preset, {"training.max_steps": -1, "training.num_train_epochs": 2.0})
    assert [name for name, _ in time_facts(epochs, found, None)] == ["a step"]
    # 2 x 4 rows a step: 80 rows are 10 steps an epoch
    assert time_facts(epochs, found, {"train_rows": 80})[0] == ("time", "01:00")
