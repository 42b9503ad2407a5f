"""What a comparison is told to measure, and by whose preset: no engine is started here."""

import pytest

from lora_tui.core import locations, members, preset_files, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.members import Member
from lora_tui.core.presets import LoraSettings
from lora_tui.jobs import compare

ELSEWHERE = Member("a", "a", "lora", "/a", "/gone/base", "main")


def member_of(name, *settings):
    run = runs.create(preset_files.with_settings(preset_files.find("demo"), settings), name=name)
    run.adapter.mkdir()
    return members.of_run(run)


def test_the_first_runs_preset_measures():
    several = [ELSEWHERE, member_of("one", "training.seed=7", "lora.r=4"), member_of("two")]
    preset, has_rows = compare.measuring_preset(several, None)
    assert has_rows and preset.training.seed == 7
    assert preset.lora == LoraSettings()
    assert (preset.model.name_or_path, preset.model.revision) == ("/gone/base", "main")
    assert preset.engine.backend == "transformers"


def test_a_given_preset_measures_before_any_runs(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}")
    given = preset_files.with_settings(preset_files.find("demo"), [f"data.source={rows}"])
    preset, has_rows = compare.measuring_preset([member_of("one")], given)
    assert has_rows and preset.data.source == str(rows)


def test_adapters_made_elsewhere_have_no_rows():
    preset, has_rows = compare.measuring_preset([ELSEWHERE], None)
    assert not has_rows and preset.model.name_or_path == "/gone/base"


def test_what_needs_a_gpu_is_left_out_where_there_is_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    settings = ("engine.device=cuda:1", "model.load_in_4bit=true", "training.optim=adamw_8bit")
    preset, _ = compare.measuring_preset([member_of("one", *settings)], None)
    assert (preset.engine.device, preset.model.load_in_4bit) == ("cpu", False)
    assert preset.training.optim == "adamw_torch_fused"


@pytest.mark.parametrize("several", [[], [ELSEWHERE, ELSEWHERE]])
def test_nobody_or_somebody_twice_is_refused_before_anything_is_made(several):
    with pytest.raises(BadInput):
        compare.start(several, compare.Asked())
    assert not runs.list_runs(locations.comparisons_folder())
