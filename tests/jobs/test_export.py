"""Starting an export: what is refused before anything is made, and where files go."""

from dataclasses import replace

import pytest

from lora_tui.core import locations, members, preset_files, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.exporting import ExportPlan
from lora_tui.jobs import export
from tests.adapters import DEMO_MODEL, write_adapter


def test_a_plan_that_cannot_be_done_starts_nothing(tmp_path):
    adapter = members.of_source(str(write_adapter(tmp_path / "a", use_rslora=True)))
    plan = ExportPlan(member=adapter, quants=("q9", "lora"), folder=str(tmp_path / "to"))
    with pytest.raises(BadInput) as raised:
        export.start(plan)
    assert "q9" in raised.value.summary and "merge it first" in raised.value.summary
    assert not runs.list_runs(locations.reports_folder()) and not (tmp_path / "to").exists()


def test_what_needs_training_data_is_refused_where_none_is_known(tmp_path):
    """Before anything is converted: the rest would be made in vain."""
    whole = members.of_source(str(DEMO_MODEL))
    plan = ExportPlan(member=whole, quants=("f16", "iq2_xs", "q2_k_s"), folder=str(tmp_path))
    with pytest.raises(BadInput, match="iq2_xs, q2_k_s: these types need an importance matrix"):
        export.start(plan)
    assert not runs.list_runs(locations.reports_folder())


def test_files_go_into_the_run_or_the_merge_or_a_folder_of_their_own(tmp_path):
    run = runs.create(preset_files.find("demo"), name="one")
    run.adapter.mkdir()
    assert export.folder_of(members.of_run(run)) == run.exports
    merge = runs.create(preset_files.find("demo"), name="two", kind="merge")
    merge.merged.mkdir()
    (merge.merged / "config.json").write_text("{}")
    assert export.folder_of(members.of_source(merge.id)) == merge.exports
    run.merged.mkdir()
    (run.merged / "config.json").write_text("{}")
    assert export.folder_of(members.of_source(str(run.merged))) == run.exports
    elsewhere = members.of_source(str(DEMO_MODEL))
    folder = export.folder_of(elsewhere)
    assert folder.parent == locations.exports_folder() and folder.name.startswith("demo-model-")
    names = {export.folder_of(replace(elsewhere, path=f"/{one}/adapter")).name for one in "ab"}
    assert len(names) == 2  # or one would replace the other's files
