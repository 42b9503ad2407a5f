"""An export by the real engine: what is written, told, proven and kept."""

import json
from collections import Counter
from typing import Any

import gguf
import numpy as np
import pytest

from lora_tui.core import export_files, quantisation
from lora_tui.core.gguf import read_head
from lora_tui.core.parameters import read_config
from lora_tui.core.proofs import PASS
from lora_tui.core.safetensors import read_header, read_model
from tests.adapters import DEMO_MODEL, write_adapter
from tests.engine.exports import export, left_behind, seen

ALL = "f16,q8_0,q4_k_m,lora"


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """Of the demo, small enough that 8 bits hold it."""
    return write_adapter(tmp_path_factory.mktemp("adapters") / "pirate", size=0.2)


@pytest.fixture(scope="module")
def exported(engines, adapter, tmp_path_factory):
    """Four files of one adapter, and the export that made them."""
    folder = tmp_path_factory.mktemp("exported") / "to"
    return export(engines, adapter, ALL, folder), folder


def test_every_file_stands_whole_beside_its_proof(exported):
    ended, folder = exported
    assert ended.code == 0, ended.log[-3000:]
    found = seen(ended)
    assert found.ended == "finished" and not found.warnings[1:]
    assert [(one.quant, one.state, one.proof.verdict) for one in found.files] == [
        (quant, "done", PASS) for quant in ALL.split(",")
    ]
    for one in found.files:
        path = folder / f"pirate-{one.quant.upper()}.gguf"
        assert one.path == str(path) and one.bytes == path.stat().st_size
        assert read_head(path).types == dict(one.types)
        beside = json.loads((folder / f"{path.name}.proof.json").read_text("utf-8"))
        assert beside["proof"] == one.proof.document()
        kept: Any = export_files.made(path)
        assert kept.proof == one.proof
    assert left_behind(folder) == []
    assert sorted(path.name for path in folder.iterdir() if path.suffix == "") == ["Modelfile"]
    own = {"engine.log", "events.jsonl", "preset.toml", "run.json", "run.lock"}
    assert {path.name for path in ended.run.path.iterdir()} <= own


def test_sizes_and_types_were_told_before(exported):
    tensors, config = read_model(DEMO_MODEL), read_config(DEMO_MODEL)
    for one in seen(exported[0]).files[:3]:
        foretold: Any = quantisation.plan(tensors, config, one.quant)
        assert one.estimate == foretold.bytes
        assert abs(one.estimate - one.bytes) < 0.02 * one.bytes
        assert dict(one.types) == dict(Counter(foretold.types))


def test_it_is_told_as_it_goes(exported):
    ended, _ = exported
    kinds = [event["kind"] for event in ended.events]
    assert kinds[:2] == ["exporting", "started"] and kinds[-2:] == ["use", "finished"]
    told = [
        (event["kind"], event.get("state"), event["quant"])
        for event in ended.events
        if event["kind"] in {"file", "proof"} or event.get("state")
    ]
    for quant in ("f16", "q8_0"):
        own = [kind if kind != "doing" else state for kind, state, of in told if of == quant]
        assert list(dict.fromkeys(own)) == ["writing", "file", "proving", "proof"]
    shares = [event["share"] for event in ended.of("doing") if "share" in event]
    assert shares and all(0 < share <= 1 for share in shares)
    beside = seen(ended).files[2].proof.figures["f16"]
    assert 0 < beside["kl"] < 1e-5 < seen(ended).files[2].proof.figures["kl"]


def test_the_adapter_alone_is_what_peft_has_and_as_large_as_foretold(exported, adapter):
    _, folder = exported
    found = gguf.GGUFReader(folder / "pirate-LORA.gguf")
    assert found.fields["adapter.lora.alpha"].contents() == 8
    by_name = {tensor.name: np.array(tensor.data) for tensor in found.tensors}
    assert len(by_name) == 24
    assert by_name["blk.3.ffn_down.weight.lora_a"].shape == (4, 768)
    forecast: Any = quantisation.plan_adapter(read_header(adapter / "adapter_model.safetensors"))
    size = (folder / "pirate-LORA.gguf").stat().st_size
    assert abs(forecast.bytes - size) < 0.02 * size


def test_the_modelfile_and_the_command_name_the_quantised_file(exported):
    ended, folder = exported
    text = (folder / "Modelfile").read_text("utf-8")
    assert "FROM ./pirate-Q8_0.gguf\n# FROM ./pirate-Q4_K_M.gguf\n# FROM ./pirate-F16" in text
    assert 'TEMPLATE """{{ if not .System }}<|im_start|>system' in text
    assert 'PARAMETER stop "<|im_end|>"\nPARAMETER num_ctx 512' in text
    found = seen(ended)
    assert found.modelfile == str(folder / "Modelfile")
    assert found.command == f"llama-cli -m {folder / 'pirate-Q8_0.gguf'} --jinja"


def test_what_stands_and_is_proven_is_kept(exported, engines, adapter):
    ended, folder = exported
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = seen(export(engines, adapter, ALL, folder))
    assert [one.state for one in again.files] == ["kept"] * 4
    assert [one.proof for one in again.files] == [one.proof for one in seen(ended).files]
    assert again.command == seen(ended).command
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_what_is_missing_is_made_from_what_stands(exported, engines, adapter):
    _, folder = exported
    f16 = folder / "pirate-F16.gguf"
    before, old = f16.stat().st_mtime_ns, (folder / "pirate-Q8_0.gguf").read_bytes()
    (folder / "pirate-Q8_0.gguf").unlink()
    again = export(engines, adapter, "q8_0", folder)
    assert [one.state for one in seen(again).files] == ["done"]
    assert not [event for event in again.of("doing") if "merging" in event["what"]]
    assert f16.stat().st_mtime_ns == before
    assert (folder / "pirate-Q8_0.gguf").read_bytes() == old
    export(engines, adapter, "q5_0", folder)  # what stands beside it goes on being named
    text = (folder / "Modelfile").read_text("utf-8")
    assert "FROM ./pirate-Q5_0.gguf\n# FROM ./pirate-Q8_0.gguf\n" in text


def test_another_result_under_the_same_name_is_made_anew(engines, exported, tmp_path):
    _, folder = exported
    other = write_adapter(tmp_path / "pirate", size=0.11)
    (folder / "Modelfile").write_text("# mine\n")
    before = (folder / "pirate-F16.gguf").read_bytes()
    again = seen(export(engines, other, "f16", folder))
    assert [one.state for one in again.files] == ["done"]
    assert (folder / "pirate-F16.gguf").read_bytes() != before
    assert (folder / "Modelfile").read_text() == "# mine\n"
    assert "is not of this program" in " ".join(again.warnings)


def test_an_importance_matrix_is_computed_where_the_training_data_is_known(
    engines, adapter, tmp_path
):
    ended = export(engines, adapter, "q2_k_s", tmp_path, rows=1, has_rows=True)
    (file,) = seen(ended).files
    assert file.state == "done" and file.types["q2_k"] > 10
    doing = [event["what"] for event in ended.of("doing")]
    assert doing.index("computing the importance matrix") < doing.index("quantising to q2_k_s")
    assert "f16" in file.proof.figures
    assert [path.name for path in tmp_path.glob("*.gguf")] == ["pirate-Q2_K_S.gguf"]
