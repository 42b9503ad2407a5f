"""An adapter is saved in the format it was computed with: half as large, and the same model."""

import shutil

import pytest

from lora_tui.core import parameters, preset_files
from lora_tui.core.platforms import Platform

SETTINGS = (
    "model.dtype=bfloat16",
    "training.max_steps=4",
    "training.learning_rate=3e-3",  # far from where the factors began, which are zeros in part
    "training.warmup_steps=0",
    "training.eval_steps=0",
    "training.save_steps=0",
)
FILE = "adapter_model.safetensors"


def tensors(folder):
    """The weights in a folder of PEFT's."""
    from safetensors.torch import load_file

    return load_file(folder / FILE)


def last_checkpoint(ended):
    """The folder of the only one: what the run had in memory at its end, in float32."""
    return ended.run.checkpoints / f"checkpoint-{ended.events[-1]['step']}"


def formats(weights):
    """How the two factors are stored, and how all else is."""
    found: dict[str, set[str]] = {"factors": set(), "others": set()}
    for name, tensor in weights.items():
        is_factor = "lora_A" in name or "lora_B" in name
        found["factors" if is_factor else "others"].add(str(tensor.dtype).removeprefix("torch."))
    return found


@pytest.fixture(
    scope="module",
    params=[("transformers", False), ("transformers", True), ("unsloth", False)],
    ids=["transformers", "transformers-dora", "unsloth"],
)
def in_16_bits(request, engines, few_rows):
    """Four steps in bfloat16, by each backend, and with DoRA."""
    backend, dora = request.param
    settings = (*SETTINGS, f"lora.use_dora={str(dora).lower()}", f"data.source={few_rows}")
    return engines.train_warm("demo", *settings, backend=backend)


def test_the_saved_adapter_measures_what_the_run_measured_to_the_bit(in_16_bits, engines):
    """In place of the checkpoint's own weights, so that the run takes it up and measures again."""
    exact, saved = tensors(last_checkpoint(in_16_bits)), tensors(in_16_bits.run.adapter)
    preset = preset_files.load(in_16_bits.run.preset)
    others = {"float32"} if preset.lora.use_dora else set()
    assert formats(exact) == {"factors": {"float32"}, "others": others}
    assert formats(saved) == {"factors": {"bfloat16"}, "others": others}
    assert any(bool((saved[name] != exact[name]).any()) for name in exact)  # rounding is at stake

    first = in_16_bits.of("eval")[-1]
    shutil.copyfile(in_16_bits.run.adapter / FILE, last_checkpoint(in_16_bits) / FILE)
    (in_16_bits.run.adapter / FILE).unlink()
    again = engines.warm(in_16_bits.run, "resume", preset.engine.backend)
    assert again.events[-1]["kind"] == "finished", again.log
    second = again.of("eval")[-1]
    assert (second["loss"], second["scores"]) == (first["loss"], first["scores"])
    assert all(bool((one == saved[name]).all()) for name, one in tensors(again.run.adapter).items())


def test_it_is_as_large_as_was_said_before(in_16_bits):
    preset = preset_files.load(in_16_bits.run.preset)
    platform = Platform(preset.engine.backend, "cpu", bfloat16=True)
    said = parameters.count_trainable(parameters.read_base("demo"), preset, platform)
    weights = tensors(in_16_bits.run.adapter).values()
    assert sum(one.numel() * one.element_size() for one in weights) == said.saved_bytes
    card = (in_16_bits.run.adapter / "README.md").read_text("utf-8")
    assert "| computed in | bfloat16 |" in card and "| saved in | bfloat16 |" in card


def test_of_float32_nothing_is_rounded(short_run):
    exact, saved = tensors(last_checkpoint(short_run)), tensors(short_run.run.adapter)
    assert formats(saved)["factors"] == {"float32"}
    assert exact.keys() == saved.keys()
    assert all(bool((exact[name] == saved[name]).all()) for name in exact)


def test_what_a_format_does_not_hold_is_not_saved_in_it(engines, few_rows):
    from safetensors.torch import save_file

    settings = (*SETTINGS, "lora.save_dtype=float16", f"data.source={few_rows}")
    ended = engines.train_warm("demo", *settings, backend="transformers")
    assert formats(tensors(ended.run.adapter))["factors"] == {"float16"}

    weights = tensors(last_checkpoint(ended))
    name = next(key for key in weights if "lora_A" in key)
    weights[name][0, 0] = 70_000.0
    save_file(weights, last_checkpoint(ended) / FILE, metadata={"format": "pt"})
    shutil.rmtree(ended.run.adapter)
    again = engines.warm(ended.run, "resume", "transformers")
    said = again.events[-1]
    assert (again.code, said["kind"]) == (1, "failed")
    assert name.removesuffix(".weight") in said["summary"] and "float16" in said["summary"]
    assert 'lora.save_dtype = "float32"' in said["hint"] and str(ended.run.preset) in said["hint"]
    assert not ended.run.adapter.exists()

    text = ended.run.preset.read_text("utf-8").replace('"float16"', '"float32"')
    ended.run.preset.write_text(text, "utf-8")  # as the hint says
    assert engines.warm(ended.run, "resume", "transformers").code == 0
    assert tensors(ended.run.adapter)[name][0, 0] == 70_000.0
