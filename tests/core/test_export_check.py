"""What keeps a model from being exported, said before an engine starts."""

import json
import os
import shutil

import pytest

from lora_tui.core import export_check, export_files, export_tools, hardware, members
from lora_tui.core.exporting import ExportFile, ExportPlan
from lora_tui.core.members import Member
from lora_tui.core.proofs import PASS, Proof
from tests.adapters import DEMO_MODEL, write_adapter


def plan_of(source, quants="q8_0", folder=None, **more):
    member = source if isinstance(source, Member) else members.of_source(str(source))
    return ExportPlan(
        member=member, quants=tuple(quants.split(",") if quants else ()), folder=str(folder), **more
    )


@pytest.fixture
def model(tmp_path):
    return shutil.copytree(DEMO_MODEL, tmp_path / "model")


def change(folder, name="config.json", **values):
    document = json.loads((folder / name).read_text("utf-8"))
    document.update(values)
    (folder / name).write_text(json.dumps(document), "utf-8")


def refusals(source, quants="q8_0", folder="to", **more):
    return export_check.refusals(plan_of(source, quants, folder, **more))


def test_what_can_be_exported_is_not_refused(model, tmp_path):
    adapter = write_adapter(tmp_path / "adapter")
    everything = "f32,f16,bf16,q8_0,q4_k_m,iq2_xxs"
    assert refusals(model, everything, tmp_path / "to") == []
    assert refusals(adapter, f"{everything},lora", tmp_path / "to") == []


def test_everything_is_said_at_once(model, tmp_path):
    (tmp_path / "file").write_text("")
    change(model, architectures=["NoSuchForCausalLM"])
    (model / "tokenizer.json").unlink()
    said = refusals(model, "q8_0,q9,lora", tmp_path / "file" / "to", rows=0)
    assert [line for line in said if '"q9" is no type' in line]
    assert [line for line in said if "is a file: name a folder" in line]
    assert [line for line in said if "knows no NoSuchForCausalLM" in line]
    assert [line for line in said if "no tokenizer.json" in line]
    assert [line for line in said if "no adapter to export alone" in line]
    assert [line for line in said if "at least 1" in line]
    assert all(line.endswith((".", ")")) for line in said)


def test_no_type_is_a_problem(model, tmp_path):
    assert refusals(model, "", tmp_path)[0].startswith("No type is named")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "config.json").write_text("{"), "config.json that can be read"),
        (lambda folder: (folder / "model.safetensors").unlink(), "safetensors"),
        (
            lambda folder: change(folder, quantization_config={"quant_method": "bitsandbytes"}),
            "quantised already",
        ),
        (lambda folder: change(folder, vocab_size=2050), "says vocab_size = 2,050"),
        (lambda folder: change(folder, architectures=[]), "model without architectures"),
    ],
)
def test_a_model_that_is_not_right_is_named(harm, said, model, tmp_path):
    plan = plan_of(model, folder=tmp_path / "to")
    harm(model)
    assert any(said in line for line in export_check.refusals(plan))


def test_an_adapter_without_its_base_and_on_a_quantised_one(model, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", base=model)
    change(model, quantization_config={"quant_method": "bitsandbytes"})
    assert any("base" in line and "quantised" in line for line in refusals(adapter))
    shutil.rmtree(model)
    assert any(f"no model at {model}" in line for line in refusals(adapter))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"use_rslora": True}, "alpha / √r"),
        ({"use_dora": True}, "DoRA"),
        ({"alpha_pattern": {"q_proj": 3}}, "one alpha"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "biases"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
    ],
)
def test_an_adapter_that_llama_cpp_would_take_for_another_is_to_be_merged(settings, said, tmp_path):
    adapter = write_adapter(tmp_path / "adapter", **settings)
    alone = refusals(adapter, "lora", tmp_path)
    assert any(said in line and "merge it first" in line for line in alone)
    assert not any(said in line for line in refusals(adapter, "q8_0", tmp_path))


def test_of_another_rank_in_places_it_stays_itself(tmp_path):
    adapter = write_adapter(tmp_path / "adapter", rank_pattern={"q_proj": 4})
    assert refusals(adapter, "lora", tmp_path) == []


def test_a_name_that_is_taken_by_something_else(model, tmp_path):
    plan = plan_of(model, folder=tmp_path)
    plan.path("q8_0").write_text("mine")
    assert any("no export made it" in line for line in export_check.refusals(plan))
    beside = export_files.proof_of(plan.path("q8_0"))
    beside.write_text(json.dumps({"fingerprint": {}}))
    assert export_check.refusals(plan) == []


def test_a_folder_that_cannot_be_written(model, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    said = refusals(model, "q8_0", tmp_path / "a" / "b")
    assert [f"{tmp_path} is not writable: name another folder."] == said


def test_too_little_room_counts_files_and_what_they_are_made_from(model, tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "free_disk", lambda _: 11_000_000)
    assert refusals(model, "q8_0", tmp_path) != []  # 4 MB, and 7.4 MB of f16 between
    assert refusals(model, "f16", tmp_path) == []
    adapter = write_adapter(tmp_path / "adapter")
    (said,) = refusals(adapter, "f16", tmp_path)  # and the merged model, on the same disk
    assert "14.8 MB are needed" in said and "11 MB are free" in said
    assert refusals(adapter, "lora", tmp_path) == []  # its base is converted, to prove it with
    monkeypatch.setattr(hardware, "free_disk", lambda _: 7_000_000)
    assert "7.42 MB are needed" in refusals(adapter, "lora", tmp_path)[0]
    monkeypatch.setattr(hardware, "free_disk", lambda _: 11_000_000)
    plan = plan_of(model, folder=tmp_path)
    write_made(plan)
    assert export_check.refusals(plan) == []
    os.utime(model / "model.safetensors", (1, 1))  # trained on: the file is made anew
    assert "are needed" in export_check.refusals(plan)[0]


def write_made(plan, quant="q8_0"):
    """What looks like a file that an export made and proved."""
    path = plan.path(quant)
    part = export_files.part_of(path, "job")
    part.write_bytes(b"weights")
    file = ExportFile(quant, str(path), "done", None, 7, {}, 1.0, Proof(PASS))
    made_from = export_check.fingerprint(plan, export_tools.find())
    export_files.finish(part, path, file, made_from, source=plan.member.path)


def test_another_ones_file_of_the_same_name_is_not_replaced(tmp_path):
    first = write_adapter(tmp_path / "a" / "adapter")
    other = write_adapter(tmp_path / "b" / "adapter")
    plan = plan_of(first, folder=tmp_path / "to")
    (tmp_path / "to").mkdir()
    write_made(plan)
    assert export_check.refusals(plan) == []
    (said,) = refusals(other, "q8_0", tmp_path / "to")
    assert f"was made from {first}: move it, or name another folder" in said
    first.rename(tmp_path / "moved")
    assert refusals(tmp_path / "moved", "q8_0", tmp_path / "to") == []


def test_a_folder_that_is_not_named_in_utf_8(model, tmp_path):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff")
    (said,) = refusals(model, "q8_0", odd)
    assert "not named in UTF-8" in said and said.encode()
    shutil.copytree(model, odd)
    assert any("not named in UTF-8" in line for line in refusals(odd, "q8_0", tmp_path))
