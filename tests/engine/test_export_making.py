"""What is made of a conversion: whose matrix, what is kept, and what replaces what."""

import shutil
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import numpy as np
import pytest

from lora_tui.core import export_files, export_tools, members, preset_files
from lora_tui.core.exporting import ExportFile, ExportPlan
from lora_tui.core.gguf import read_head
from lora_tui.core.members import BASE
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS, Proof
from lora_tui.core.quantisation import QUANTS
from lora_tui.engine.export import Export
from tests.adapters import DEMO_MODEL, write_adapter

LAYER = "blk.3.ffn_down.weight.in_sum2"


@pytest.fixture(scope="module")
def making(tmp_path_factory):
    """An export of an adapter, its conversion kept from before: no converter ran in it."""
    from lora_tui.engine.export_making import Making
    from lora_tui.engine.export_reference import Reference

    home = tmp_path_factory.mktemp("matrix")
    said: list[str] = []
    member = members.of_reference(str(write_adapter(home / "pirate", size=0.2)))
    job: Any = SimpleNamespace(
        preset=preset_files.find("demo"),
        platform=Platform("transformers", "cpu", bfloat16=False),
        stop=SimpleNamespace(requested=False, check=lambda: None, deferred=nullcontext),
        run=SimpleNamespace(path=home, id="job"),
        emit=lambda *_, **__: None,
        warn=said.append,
        said=said,
    )
    plan = ExportPlan(member=member, quants=("q2_k_s",), folder=str(home), rows=1)
    found = Making(job, Export(job, plan, has_rows=True), export_tools.find(), {})
    found._reference = Reference(job, member, has_rows=True, rows=1)
    return found


@pytest.fixture(scope="module")
def first(making):
    from lora_tui.engine import converter
    from lora_tui.engine.export_making import First

    path = making.job.run.path / "f16.gguf"
    converter.convert(making.tools, DEMO_MODEL, path, "f16")
    return First(QUANTS["f16"], path, Proof(PASS))


def computed(making, first, monkeypatch):
    from lora_tui.engine import importance

    monkeypatch.setattr(importance, "_MOST_TOKENS", 300)
    matrix = making._compute_matrix(first)
    values = {one.name: np.array(one.data) for one in gguf.GGUFReader(matrix.path).tensors}
    return values[LAYER][0]


def test_it_is_the_tuned_models_and_not_the_bases(making, first, monkeypatch):
    resident = making._reference.resident
    resident.use(making._reference.id)
    tuned = computed(making, first, monkeypatch)
    resident.use(BASE)  # as a proof leaves it
    assert np.array_equal(computed(making, first, monkeypatch), tuned)
    making._reference.id, own = BASE, making._reference.id
    assert not np.allclose(computed(making, first, monkeypatch), tuned, rtol=0.01)
    making._reference.id = own


def test_the_converters_own_library_names_its_tensors(making, first, monkeypatch, tmp_path):
    packaged = making.tools.converter
    for name in ("conversion", "gguf-py"):
        shutil.copytree(packaged.with_name(name), tmp_path / name)
    own = export_tools.Tools("own", Path(shutil.copy(packaged, tmp_path)))
    monkeypatch.setattr(making, "tools", own)
    computed(making, first, monkeypatch)
    assert tmp_path in Path(str(sys.modules["gguf"].__file__)).parents


def stand(path, quant, **how):
    """Leave a file as an export does that proved it."""
    part = export_files.part_of(path, "before")
    part.write_bytes(b"weights")
    file = ExportFile(quant, str(path), "done", None, 7, {}, 1.0, Proof(PASS))
    export_files.finish(part, path, file, {"model": "abc"}, **how)


def test_a_file_that_fails_does_not_silently_replace_one_that_passed(making, first):
    """The base's conversion is what is left of an adapter that was lost."""
    path = making.plan.path("q2_k_s")
    stand(path, "q2_k_s")
    part = making._part("q2_k_s")
    shutil.copy(first.path, part)
    proof = making._finish("q2_k_s", part, read_head(part), 1.0)
    assert proof.verdict == FAIL
    assert making.job.said == [f"{path.name} passed before; what replaces it now does not."]
    assert export_files.asked_of(path)["rows"] == 1
    assert export_files.source_of(path) == making.plan.member.path


def test_what_was_proven_on_less_or_rounded_by_other_data_is_made_anew(making, tmp_path):
    plan = replace(making.plan, folder=str(tmp_path), quants=("q8_0", "q2_k_s"), rows=8)
    data = repr(making.job.preset.data)

    def pending(*, has_rows=True, **asked):
        for quant in plan.quants:
            stand(plan.path(quant), quant, asked=asked)
        return Export(making.job, plan, has_rows=has_rows).pending({"model": "abc"})

    assert pending(rows=8, data=data) == pending(rows=200, data=data) == []
    assert pending(rows=7, data=data) == ["q8_0", "q2_k_s"]
    assert pending(rows=8, data="other") == pending(rows=8, data=data, has_rows=False) == ["q2_k_s"]


@pytest.fixture(scope="module")
def alone(making):
    """The adapter alone, as a file."""
    from lora_tui.engine import converter

    path = making.job.run.path / "alone.gguf"
    adapter = Path(making.plan.member.path)
    converter.convert_adapter(making.tools, adapter, DEMO_MODEL, path)
    return path


def proven(making, first, alone, tmp_path):
    from lora_tui.engine import gguf_proof

    base = Path(shutil.copy(first.path, tmp_path / "base.gguf"))
    return gguf_proof.prove(making._measured(), base, "f16", job=making.job, adapter=alone)


def test_an_adapter_alone_is_loaded_by_llama_cpp_itself(
    making, first, alone, tmp_path, monkeypatch
):
    proof = proven(making, first, alone, tmp_path)
    assert (proof.verdict, proof.reasons) == (PASS, ())
    monkeypatch.setattr("lora_tui.engine.export_source.apply", lambda *_: None)
    proof = proven(making, first, alone, tmp_path)  # the base is asked in its place
    assert proof.verdict == FAIL
    assert proof.reasons[0].startswith("llama.cpp answers otherwise with the adapter beside its")


def test_an_adapter_that_llama_cpp_does_not_load_fails(making, first, alone, tmp_path):
    data = alone.read_bytes()
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(data.replace(b"blk.3.ffn_down", b"blk.9.ffn_down"))
    proof = proven(making, first, broken, tmp_path)
    assert proof.verdict == FAIL
    assert proof.reasons == (
        "llama.cpp says: its server does not take the adapter, or not its base's chat template.",
    )
