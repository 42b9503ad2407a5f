"""A merged model on disk is its base with its adapter, whatever that trains; or it is not there."""

import hashlib
import json
import resource
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_tui.core import members, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform
from lora_tui.engine.stopping import StopRequested
from tests.adapters import DEMO_MODEL, write_adapter
from tests.engine import kinds

GO = SimpleNamespace(check=lambda: None)
CPU = Platform("transformers", "cpu", bfloat16=False)
TARGETS = ["q_proj", "v_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True, "rank_pattern": {"q_proj": 8}, "alpha_pattern": {"v_proj": 64}},
    "dora": {"use_dora": True},
    "saved": {"modules_to_save": ["lm_head"]},
    "saved-both": {"modules_to_save": ["embed_tokens", "lm_head"]},
    "tokens": {"trainable_token_indices": [3, 4, 5]},
    "pissa": {"init_lora_weights": "pissa"},
    "head": {"target_modules": ["lm_head", "q_proj"]},
    "embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "parameters": {"target_parameters": ["mlp.down_proj.weight"], "target_modules": ["q_proj"]},
}
UNTIED = {"saved", "saved-both", "head", "embedding"}


def trained(folder, base, **config):
    """An adapter as PEFT saves it, every trained number moved."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"target_modules": TARGETS, "r": 4, "lora_alpha": 8, **config}
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if weight.requires_grad:
                size = 0.1 if "lora_" in name else 0.1 * float(weight.std()) + 0.01
                weight.add_(size * torch.randn_like(weight))
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder)
    return folder


def write(adapter, out, dtype="auto", stop=GO, run=""):
    """The adapter merged into the base that it names."""
    from lora_tui.engine import merging

    member = replace(members.of_reference(str(adapter)), run=run)
    settings = [f"model.name_or_path={member.base}"]
    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    return merging.write_merged(preset, CPU, member, out, dtype, stop=stop)


def logits(model):
    import torch

    with torch.no_grad():
        return model(torch.arange(5, 45)[None]).logits


@pytest.mark.filterwarnings("ignore:Model has `tie_word", "ignore:Setting `save_embedding")
@pytest.mark.parametrize("kind", KINDS)
def test_what_was_merged_says_what_base_and_adapter_say(tmp_path, kind):
    from transformers import AutoModelForCausalLM

    from tests.engine import plain

    adapter = trained(tmp_path / "adapter", DEMO_MODEL, **KINDS[kind])
    beside = logits(plain.load(adapter, "lora"))
    out = tmp_path / "merged"
    for dtype, most in (("float32", 1e-4), ("auto", 0.3)):
        made = write(adapter, out, dtype)
        model, told = AutoModelForCausalLM.from_pretrained(
            out, dtype="auto", output_loading_info=True
        )
        assert not any(told.values())
        assert made.dtype == ("float32" if dtype == "float32" else "bfloat16")
        assert str(model.dtype) == f"torch.{made.dtype}"
        apart = (logits(model.float()) - beside).abs().max()
        assert apart <= most, (dtype, apart)
        tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
        assert tied == (kind not in UNTIED) == model.config.tie_word_embeddings
    assert (logits(plain.load()) - beside).abs().max() > 1


def test_trained_biases_are_taken_over(tmp_path):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = kinds.build("qwen2", tmp_path / "base")
    adapter = trained(tmp_path / "adapter", base, bias="all")
    write(adapter, tmp_path / "merged", "float32")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.float32)
    before = dict(model.named_parameters())["model.layers.1.self_attn.q_proj.bias"].clone()
    beside = PeftModel.from_pretrained(model, adapter).eval()
    assert torch.allclose(logits(found), logits(beside), atol=1e-4)
    after = dict(found.named_parameters())["model.layers.1.self_attn.q_proj.bias"]
    assert (after - before).abs().max() > 0.01


def digest(folder):
    """What a folder's files hold."""
    return {path.name: hashlib.blake2b(path.read_bytes()).hexdigest() for path in folder.iterdir()}


@pytest.mark.parametrize("stored", ["bfloat16", "float32"])
def test_rounding_happens_once_and_the_base_stays_as_it_was(tmp_path, stored):
    """A base in float32 is mapped from its file and merged without widening."""
    import torch
    from safetensors.torch import load_file

    from tests.engine import plain

    base = tmp_path / "base"
    shutil.copytree(DEMO_MODEL, base)
    if stored == "float32":
        plain.load().save_pretrained(base)
    before = digest(base)
    adapter = write_adapter(tmp_path / "adapter", base=base)
    made = write(adapter, tmp_path / "merged")
    assert digest(base) == before and made.dtype == stored
    old, new = (load_file(at / "model.safetensors") for at in (base, tmp_path / "merged"))
    assert old.keys() == new.keys() and made.tensors == len(new)
    assert made.bytes == (tmp_path / "merged/model.safetensors").stat().st_size
    factors = load_file(adapter / "adapter_model.safetensors")
    for name, weight in old.items():
        module = f"base_model.model.{name.removesuffix('.weight')}"
        wanted = weight
        if f"{module}.lora_A.weight" in factors:
            product = factors[f"{module}.lora_B.weight"] @ factors[f"{module}.lora_A.weight"]
            wanted = (weight.float() + 2.0 * product).to(weight.dtype)
        assert torch.equal(new[name], wanted) or (
            # Sums of another order may fall on the other side of a half.
            (new[name] != wanted).float().mean() < 1e-4
        ), name


def test_the_folder_is_all_that_a_server_asks_for(tmp_path):
    """As transformers, vLLM and llama.cpp's converter read one."""
    from transformers import AutoTokenizer

    write(write_adapter(tmp_path / "adapter"), tmp_path / "merged")
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert names == {path.name for path in DEMO_MODEL.iterdir()}
    config = json.loads((tmp_path / "merged/config.json").read_text("utf-8"))
    assert config["architectures"] == ["LlamaForCausalLM"] and config["dtype"] == "bfloat16"
    own, base = (AutoTokenizer.from_pretrained(at) for at in (tmp_path / "merged", DEMO_MODEL))
    assert own.chat_template == base.chat_template and own.get_vocab() == base.get_vocab()
    assert own.eos_token == base.eos_token and own.backend_tokenizer.to_str() == (
        base.backend_tokenizer.to_str()
    )
    assert (
        digest(tmp_path / "merged")["generation_config.json"]
        == (digest(DEMO_MODEL)["generation_config.json"])
    )


def test_a_way_of_drawing_that_transformers_would_not_save_stays_as_it_is(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(DEMO_MODEL, base)
    path = base / "generation_config.json"
    said = {**json.loads(path.read_text("utf-8")), "temperature": 0.6, "do_sample": False}
    path.write_text(json.dumps(said), "utf-8")
    write(write_adapter(tmp_path / "adapter", base=base), tmp_path / "merged")
    assert (tmp_path / "merged/generation_config.json").read_text("utf-8") == json.dumps(said)


def test_a_template_that_an_adapter_brings_is_written(tmp_path):
    from transformers import AutoTokenizer

    adapter = write_adapter(tmp_path / "adapter")
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    tokenizer.chat_template = "{{ messages[0]['content'] }}"
    tokenizer.save_pretrained(adapter)
    made = write(adapter, tmp_path / "merged")
    assert "chat template of its own" in " ".join(made.warnings)
    own = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert own.chat_template == tokenizer.chat_template
    made = write(adapter, tmp_path / "merged", run=str(tmp_path))  # one that a run saved
    own = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert own.chat_template == tokenizer.chat_template and not made.warnings
    (adapter / "tokenizer.json").write_text("{", "utf-8")
    made = write(adapter, tmp_path / "merged")
    assert "cannot be read" in " ".join(made.warnings)


def large(tensors):
    """An update past the largest float16."""
    values = tensors["base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"][1]
    values[0] = 1e7


def test_an_export_is_in_float16_where_that_holds_it(tmp_path):
    from tests.engine import plain

    adapter = write_adapter(tmp_path / "adapter")
    assert write(adapter, tmp_path / "merged", "export").dtype == "float16"
    beside = logits(plain.load(adapter, "lora"))
    found = logits(plain.load(tmp_path / "merged"))
    assert (found - beside).abs().max() < 0.05
    adapter = write_adapter(tmp_path / "adapter", change=large)
    assert write(adapter, tmp_path / "merged", "export").dtype == "float32"
    with pytest.raises(LoraTuiError, match="down_proj does not fit float16"):
        write(adapter, tmp_path / "merged", "float16")


# --- what keeps a merge from being written ---------------------------------------------------


def test_an_adapter_of_nothing_is_said_to_be_one(tmp_path):
    made = write(write_adapter(tmp_path / "adapter", size=0), tmp_path / "merged")
    assert "zero in every layer" in " ".join(made.warnings)


def test_a_file_that_breaks_off_leaves_nothing(tmp_path):
    adapter = write_adapter(tmp_path / "adapter")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        with pytest.raises(LoraTuiError, match="cannot be written") as raised:
            write(adapter, tmp_path / "merged")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "too large" in raised.value.summary and "merge again" in raised.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_folder_that_may_not_be_written_is_said(tmp_path):
    adapter = write_adapter(tmp_path / "adapter")
    with pytest.raises(LoraTuiError, match=r"/sys/merged cannot be written: .*ermi"):
        write(adapter, Path("/sys/merged"))


def test_a_disk_without_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=70_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(LoraTuiError, match=r"takes 74\.5 MB, and 70 MB are free") as raised:
        write(write_adapter(tmp_path / "adapter"), tmp_path / "merged")
    assert "--out" in raised.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["adapter"]


def test_a_stop_leaves_what_was_there(tmp_path):
    adapter = write_adapter(tmp_path / "adapter")
    write(adapter, tmp_path / "merged")
    before = digest(tmp_path / "merged")

    def stop():
        raise StopRequested

    with pytest.raises(StopRequested):
        write(
            write_adapter(tmp_path / "other", r=8),
            tmp_path / "merged",
            stop=SimpleNamespace(check=stop),
        )
    assert digest(tmp_path / "merged") == before
    assert {path.name for path in tmp_path.iterdir()} == {"adapter", "other", "merged"}
