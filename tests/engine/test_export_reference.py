"""What every file of an export is held against: logits computed once, from weights as stored."""

import resource
import signal
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lora_tui.core import members, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE
from lora_tui.core.platforms import Platform
from lora_tui.engine import models
from lora_tui.engine.stopping import StopRequested
from tests.adapters import DEMO_MODEL, write_adapter

if TYPE_CHECKING:
    from lora_tui.engine.export_reference import Row


NEVER: Any = SimpleNamespace(requested=False, check=lambda: None)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Any:
    """Of a base that is stored in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    home = tmp_path_factory.mktemp("reference")
    base = home / "base"
    AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.bfloat16).save_pretrained(base)
    AutoTokenizer.from_pretrained(DEMO_MODEL).save_pretrained(base)
    preset = preset_files.with_settings(
        preset_files.find("demo"), [f"model.name_or_path={base}", "engine.device=cpu"]
    )
    platform = Platform("transformers", "cpu", bfloat16=False)
    return SimpleNamespace(
        preset=preset, platform=platform, stop=NEVER, run=SimpleNamespace(path=home)
    )


@pytest.fixture(scope="module")
def member(job) -> Any:
    path = write_adapter(job.run.path / "pirate", size=0.2)
    return replace(members.of_reference(str(path)), base=job.preset.model.name_or_path)


@pytest.fixture
def reference(job, member):
    from lora_tui.engine.export_reference import Reference

    found = Reference(job, member, has_rows=True, rows=5)
    yield found
    found.close()


def exactly(one: "Row", other: "Row") -> bool:
    """Whether two rows are equal to the bit."""
    if one.ids != other.ids or one.base is None or other.base is None:
        return False
    return one.own.equal(other.own) and one.base.equal(other.base)


def test_logits_are_those_of_a_model_in_float32(job, member, reference):
    """Though its weights stay in 16 bits and several rows go through it at once."""
    import torch

    from lora_tui.engine.resident import Resident

    exact = models.load_base(job.preset, job.platform)
    assert exact.dtype == torch.float32
    plain = Resident(job.preset, job.platform, exact)
    plain.attach(member)
    assert str(reference.resident.model.dtype) == "torch.bfloat16"
    rows = list(reference.logits())
    assert [row.ids for row in rows] == reference.rows and len(rows) == 5
    for row in rows:
        for id_, found in ((member.id, row.own), (BASE, row.base)):
            plain.use(id_)
            with torch.no_grad():
                wanted = plain.model(input_ids=torch.tensor([row.ids])).logits[0, :-1]
            assert found.shape == wanted.shape
            assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(row.own, row.base, atol=0.1)


def test_they_are_computed_once_and_then_read(reference, monkeypatch):
    from lora_tui.engine.export_reference import KEPT

    first = list(reference.logits())
    assert reference._kept.is_whole
    monkeypatch.setattr(reference, "_forward", None)  # else torch would be asked again
    again = list(reference.logits())
    assert len(first) == 5 and all(map(exactly, first, again))
    path = reference._job.run.path / KEPT
    assert path.stat().st_size == 4 * sum(
        one.numel() for row in first for one in (row.own, row.base) if one is not None
    )
    reference.close()
    assert not path.exists()


def test_what_was_not_asked_for_to_its_end_is_not_taken_for_whole(reference):
    next(part := reference.logits())
    part.close()
    assert not reference._kept.is_whole
    assert len(list(reference.logits())) == 5


def test_without_room_they_are_computed_for_each_file(reference, monkeypatch):
    from lora_tui.engine import export_reference
    from lora_tui.engine.export_reference import KEPT

    monkeypatch.setattr(export_reference, "free_disk", lambda _: 1 << 20)
    assert len(list(reference.logits())) == len(list(reference.logits())) == 5
    assert not (reference._job.run.path / KEPT).exists()


def test_a_disk_that_is_full_only_costs_the_keeping(reference):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
    try:
        assert len(list(reference.logits())) == 5 and not reference._kept.is_whole
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(list(reference.logits())) == 5 and reference._kept.is_whole


def test_a_row_at_a_time_where_a_vocabulary_is_large_and_the_base_at_each_third(
    job, member, monkeypatch
):
    from lora_tui.engine import export_reference
    from lora_tui.engine.export_reference import Reference

    monkeypatch.setattr(export_reference, "_LOGITS", 1)
    alone = Reference(job, member, has_rows=True, rows=5)
    rows = list(alone.logits())
    assert [row.base is not None for row in rows] == [True, False, False, True, False]
    assert all(row.own.shape[0] == len(row.ids) - 1 for row in rows)
    alone.close()


def test_stopping_is_heard_between_rows(reference, monkeypatch):
    def stop() -> None:
        raise StopRequested

    monkeypatch.setattr(reference._job, "stop", SimpleNamespace(check=stop))
    with pytest.raises(StopRequested):
        next(reference.logits())


def test_a_trained_model_stays_in_its_own_format_beside_a_base_in_another(job, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    from lora_tui.engine.export_reference import Reference

    whole = tmp_path / "whole"
    model = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    with torch.no_grad():
        model.model.norm.weight.add_(1e-4)  # lost if it were rounded to bfloat16
    model.save_pretrained(whole)
    member = members.Member("full", "full", "full", str(whole), job.preset.model.name_or_path, "")
    found = Reference(job, member, has_rows=True, rows=1)
    assert found.resident.model.model.norm.weight.equal(model.model.norm.weight)


def test_rows_of_one_token_are_nothing_to_measure_on(job, member, monkeypatch):
    from lora_tui.engine import export_reference
    from lora_tui.engine.export_reference import Reference

    monkeypatch.setattr(export_reference, "_OF_A_ROW", 1)
    with pytest.raises(LoraTuiError, match="nothing to measure on"):
        Reference(job, member, has_rows=True, rows=3)
