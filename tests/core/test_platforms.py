"""What a platform cannot honour, and the number formats it computes in."""

import pytest

from lora_tui.core import platforms, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform
from lora_tui.core.presets import Preset

CPU = Platform("unsloth", "cpu", bfloat16=True)
GPU = Platform("transformers", "cuda", bfloat16=True)


@pytest.mark.parametrize(
    ("settings", "platform", "key"),
    [
        (("model.load_in_4bit=true",), CPU, "model.load_in_4bit"),
        (("model.load_in_4bit=true",), GPU, "model.load_in_4bit"),  # bitsandbytes is not installed
        (("training.optim=paged_adamw_8bit",), CPU, "training.optim"),
        (("model.dtype=float16",), CPU, "model.dtype"),
        (("model.name_or_path=unsloth/x-bnb-4bit",), CPU, "model.name_or_path"),
        (("engine.processes=2", "engine.backend=unsloth"), CPU, "engine.backend"),
        (("engine.processes=2", "engine.device=cuda:1"), GPU, "engine.device"),
        (("lora.init_lora_weights=orthogonal", "lora.r=7"), CPU, "lora.r"),
        (("lora.init_lora_weights=pissa", "lora.use_dora=true"), CPU, "lora.use_dora"),
        (("lora.init_lora_weights=olora", "lora.bias=lora_only"), CPU, "lora.bias"),
        (("lora.init_lora_weights=olora", "lora.save_dtype=bfloat16"), CPU, "lora.save_dtype"),
        (("lora.target_modules=q_proj,lm_head",), CPU, "lora.target_modules"),
        (("lora.method=full", "model.dtype=float16"), GPU, "model.dtype"),
    ],
)
def test_what_would_be_ignored_is_refused_by_its_key(settings, platform, key):
    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    assert any(line.startswith(f"{key}:") for line in platforms.refusals(preset, platform))


@pytest.mark.parametrize(
    ("settings", "platform", "saved"),
    [
        ((), CPU, "bfloat16"),
        ((), Platform("transformers", "cpu", bfloat16=False), "float32"),
        ((), Platform("transformers", "cuda", bfloat16=False), "float16"),
        (("model.dtype=float32",), CPU, "float32"),
        (("model.dtype=float32", "lora.save_dtype=bfloat16"), CPU, "bfloat16"),
        (("lora.save_dtype=float32",), CPU, "float32"),
        (("model.load_in_4bit=true",), GPU, "bfloat16"),
        (("lora.init_lora_weights=pissa",), CPU, "float32"),
        (("lora.init_lora_weights=gaussian",), CPU, "bfloat16"),
    ],
)
def test_an_adapter_is_saved_in_the_format_of_its_arithmetic(settings, platform, saved):
    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    assert platforms.saved_dtype(preset, platform) == saved


def test_shipped_presets_are_refused_only_for_want_of_a_gpu():
    for entry in preset_files.list_presets():
        assert entry.preset is not None
        assert bool(platforms.refusals(entry.preset, CPU)) == entry.preset.model.load_in_4bit


def test_unsloth_is_asked_for_by_name_or_taken_when_there(monkeypatch):
    assert platforms.choose_backend(Preset()) == "unsloth"
    several = preset_files.with_settings(Preset(), ["engine.processes=2"])
    assert platforms.choose_backend(several) == "transformers"
    assert platforms.refusals(several, GPU) == []
    monkeypatch.setattr(platforms, "is_installed", lambda name: False)
    assert platforms.choose_backend(Preset()) == "transformers"
    asked = preset_files.with_settings(Preset(), ["engine.backend=unsloth"])
    with pytest.raises(LoraTuiError, match="not installed"):
        platforms.choose_backend(asked)
