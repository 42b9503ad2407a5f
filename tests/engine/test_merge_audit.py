"""The tensors of a merge beside what the files make of them: which can be compared, and by what."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lora_tui.core import members, preset_files
from lora_tui.core.merging import MergePlan
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import UNKNOWN
from tests.adapters import DEMO_MODEL, write_adapter
from tests.engine import kinds

GO = SimpleNamespace(check=lambda: None)
CPU = Platform("transformers", "cpu", bfloat16=False)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    from tests.engine.merge_cases import Case

    return Case("smollm2", tmp_path_factory.mktemp("case"), 0.1, GO)


@pytest.fixture(scope="module")
def merged(case, tmp_path_factory):
    out = tmp_path_factory.mktemp("merged") / "merged"
    case.write(out)
    return out


def renamed(folder, at):
    """The same model, its tensors called as the checkpoints of Gemma 3 call them."""
    from safetensors.torch import load_file, save_file

    at.mkdir()
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {f"language_model.{name}": one for name, one in tensors.items()}, at / "m.safetensors"
    )
    return at


def test_tensors_of_other_names_than_the_models_are_not_judged(case, merged, tmp_path):
    from lora_tui.engine import merge_proof
    from lora_tui.engine.merge_audit import audit

    found = case.audited(merged)
    assert found.checked == found.tensors == 20 and not found.off
    base, other = (
        renamed(at, tmp_path / name) for at, name in ((case.base, "base"), (merged, "other"))
    )
    unknown = audit(base, [(1.0, case.files)], other, GO)
    assert (unknown.checked, unknown.tensors, unknown.off) == (0, 20, ())
    measured, _ = case.measure(merged)
    proof = merge_proof.verdict(measured, unknown, (), dtype="bfloat16", layers=2)
    assert proof.verdict == UNKNOWN and "None of its 20 tensors" in proof.reasons[0]
    assert proof.figures["tensors"] == 20 and not proof.figures["tensors_compared"]


@pytest.mark.filterwarnings("ignore:Adapter ")  # PEFT takes a bias for a part of a matrix
def test_biases_that_an_adapter_adds_are_passed_over(tmp_path):
    """And break nothing: they stand among the factors."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lora_tui.engine import adapters
    from lora_tui.engine.merge_audit import audit

    base = kinds.build("qwen2", tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    config = LoraConfig(r=4, target_modules=["q_proj"], lora_bias=True, task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, config)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(tmp_path / "adapter")
    merge(base, tmp_path / "adapter", tmp_path / "merged")
    files = adapters.read(tmp_path / "adapter")
    found = audit(base, [(1.0, files)], tmp_path / "merged", GO)
    assert found.checked == found.tensors - 4 and not found.off


def merge(base, adapter, out):
    from lora_tui.engine import merging

    preset = preset_files.with_settings(preset_files.find("demo"), [f"model.name_or_path={base}"])
    member = members.of_reference(str(adapter))
    merging.write_merged(preset, CPU, member, out, "auto", stop=GO)


def test_what_cat_made_is_held_to_the_adapters_themselves(tmp_path):
    """What another method made of them, to that: which part of each it keeps is its own affair."""
    from lora_tui.engine import adapters, combine
    from lora_tui.engine.merge_audit import audit
    from lora_tui.engine.merge_steps import Steps

    several = tuple(
        members.of_reference(str(write_adapter(tmp_path / f"{r}", r=r, use_rslora=r > 4)))
        for r in (4, 6)
    )
    plan = MergePlan(members=several, weights=(0.6, -0.4), method="cat")
    files = [adapters.read(Path(one.path)) for one in several]
    off = {}
    for name, made in (("right", plan), ("wrong", replace(plan, weights=(0.6, 0.4)))):
        combine.write(made, files, tmp_path / name / "adapter")
        merge(DEMO_MODEL, tmp_path / name / "adapter", tmp_path / name / "merged")
        combined = members.of_reference(str(tmp_path / name / "adapter"))
        for method in ("cat", "ties"):
            job: Any = SimpleNamespace()
            steps = Steps(job, replace(plan, method=method), tmp_path)
            parts = steps.parts(combined)
            off[name, method] = audit(DEMO_MODEL, parts, tmp_path / name / "merged", GO).off
    assert len(off.pop(("wrong", "cat"))) == 12 and not any(off.values())
