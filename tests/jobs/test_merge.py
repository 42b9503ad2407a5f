"""What a merge is refused for before anything is made, and where its result may go."""

import shutil

import pytest

from lora_tui.core import locations, members, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.merging import REPORT, MergePlan
from lora_tui.jobs import merge
from tests.adapters import DEMO_MODEL, write_adapter


def plan_of(*folders, **settings):
    found = tuple(members.of_reference(str(folder)) for folder in folders)
    return MergePlan(members=found, weights=(0.5,) * len(found), **settings)


def test_everything_wrong_is_said_and_nothing_is_made(tmp_path):
    plan = plan_of(write_adapter(tmp_path / "a"), write_adapter(tmp_path / "b", r=8), dtype="int8")
    with pytest.raises(BadInput) as raised:
        merge.start(plan)
    for said in ("int8", "linear needs equal ranks"):
        assert said in raised.value.summary
    assert not runs.list_runs(locations.merges_folder())


def test_what_stands_there_is_not_lost(tmp_path):
    plan = plan_of(write_adapter(tmp_path / "a"), write_adapter(tmp_path / "b"), method="cat")
    for taken in (tmp_path / "a", tmp_path / "a/adapter_config.json"):
        with pytest.raises(BadInput):
            merge.start(plan, taken)
    assert not runs.list_runs(locations.merges_folder())
    earlier, empty = tmp_path / "earlier", tmp_path / "empty"
    for folder in (earlier, empty):
        folder.mkdir()
    (earlier / REPORT).write_text("{}")
    for free in (earlier, empty, tmp_path / "new"):
        merge.refuse_taken(free, REPORT)


def test_what_is_merged_is_not_written_over(tmp_path):
    base = tmp_path / "base"
    shutil.copytree(DEMO_MODEL, base)
    (base / REPORT).write_text("{}")  # a merge made it, and more is trained on it
    adapter = write_adapter(base / "adapter", base=base)
    plan = MergePlan(members=(members.of_reference(str(adapter)),))
    for out in (base, adapter, tmp_path, base / "new", adapter / "deep/new"):
        with pytest.raises(BadInput, match=r"lies in|something else"):
            merge.start(plan, out)
    assert not runs.list_runs(locations.merges_folder())
