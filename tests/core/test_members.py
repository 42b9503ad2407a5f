"""Who can be compared and talked to, and what is said of those who cannot."""

import json

import pytest

from lora_tui.core import members, preset_files, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.presets import Preset
from tests.adapters import write_adapter


def run_of(*settings, name="one"):
    preset = preset_files.with_settings(preset_files.find("demo"), settings)
    return runs.create(preset, name=name)


def test_a_run_is_named_by_what_it_left():
    run = run_of()
    run.adapter.mkdir()
    found = members.of_reference("one")
    assert found == members.of_reference(str(run.path)) == members.of_run(run)
    assert (found.id, found.name, found.method) == (run.id, "one", "lora")
    assert (found.path, found.base, found.run) == (str(run.adapter), "demo", str(run.path))
    assert Member.from_document(found.document()) == found


def test_a_fully_trained_model_is_a_member_too():
    run = run_of("lora.method=full")
    run.model.mkdir()
    assert members.of_run(run).method == "full"
    assert members.of_run(run).path == str(run.model)


def test_a_run_that_left_nothing_says_where_its_weights_are():
    run = run_of()
    with pytest.raises(LoraTuiError, match="has saved no adapter yet"):
        members.of_run(run)
    checkpoint = run.checkpoints / "checkpoint-3"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text("{}")
    with pytest.raises(LoraTuiError, match="checkpoint at step 3"):
        members.of_run(run)


def test_an_adapter_made_elsewhere_is_its_folder(tmp_path):
    folder = write_adapter(tmp_path / "mine", r=4)
    found = members.of_reference(str(folder))
    assert (found.id, found.name, found.base, found.run) == (str(folder), "mine", "demo", "")
    lora = members.settings_of(found)["lora"]
    assert (lora["method"], lora["r"], lora["lora_alpha"]) == ("lora", 4, 8)


def test_a_base_next_to_where_one_stands_is_meant_as_that_folder(tmp_path, monkeypatch):
    for name in ("model", "demo"):
        (tmp_path / name).mkdir()
    folder = write_adapter(tmp_path / "mine", base="model")
    monkeypatch.chdir(tmp_path)
    built_in = write_adapter(tmp_path / "other", base="demo")
    assert members.of_reference(str(built_in)).base == "demo"  # never the folder of that name
    assert members.of_reference(str(folder)).base == str(tmp_path / "model")


def test_an_adapter_in_the_hubs_cache_is_named_by_its_id(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    cached = tmp_path / "models--some--adapter"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("abc")
    write_adapter(cached / "snapshots" / "abc")
    found = members.of_reference("some/adapter")
    assert (found.id, found.name) == ("some/adapter", "adapter")
    with pytest.raises(LoraTuiError, match="hf download some/other"):
        members.of_reference("some/other")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (None, "adapter_config.json is missing"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "does not say which base"),
        (json.dumps({"base_model_name_or_path": 3}), "does not say which base"),
    ],
)
def test_a_folder_that_is_no_adapter_is_named(tmp_path, config, words):
    folder = tmp_path / "folder"
    folder.mkdir()
    if config is not None:
        (folder / "adapter_config.json").write_text(config)
    with pytest.raises(LoraTuiError, match=words):
        members.of_reference(str(folder))


def test_a_path_that_is_not_there_is_no_run_that_is_missing(tmp_path):
    with pytest.raises(BadInput, match=f"There is no folder {tmp_path}/gone"):
        members.of_reference(str(tmp_path / "gone"))


def test_what_is_neither_is_refused():
    with pytest.raises(BadInput, match='no run "nothing"'):
        members.of_reference("nothing")


def test_each_base_leads_its_group():
    one, two, three = (
        Member(id_, id_, "lora", "/x", base) for id_, base in (("a", "p"), ("b", "q"), ("c", "p"))
    )
    groups = members.grouped([one, two, three])
    assert [[member.id for member in group] for group in groups] == [
        ["base", "a", "c"],
        ["base-2", "b"],
    ]
    assert groups[1][0] == Member("base-2", "base-2", "base", "q", "q")
    assert members.settings_of(groups[0][0]) == {}


def test_what_is_exported_can_be_a_merge_or_a_whole_model(tmp_path):
    run = run_of()
    run.adapter.mkdir()
    assert members.of_source("one") == members.of_run(run)
    merge = runs.create(Preset(), name="both", kind="merge")
    with pytest.raises(LoraTuiError, match="merged nothing"):
        members.of_source(str(merge.path))
    merge.merged.mkdir()
    (merge.merged / "config.json").write_text("{}")
    for said in (merge.id, str(merge.path), str(merge.merged)):
        found = members.of_source(said)
        assert (found.name, found.method) == ("both-merged", members.BASE)
        assert found.path == found.base == found.id == str(merge.merged)
    both = write_adapter(merge.merged / "adapter", r=8)
    for said in (merge.id, str(merge.path)):
        combined = members.of_reference(said)
        assert (combined.name, combined.method) == (merge.id, "lora")
    assert members.settings_of(combined)["lora"]["r"] == 8 and both.is_dir()
    adapter = write_adapter(tmp_path / "mine")
    assert members.of_source(str(adapter)) == members.of_reference(str(adapter))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    assert members.of_source(str(tmp_path / "model")).name == "model"
    alone = run_of(name="alone")
    alone.merged.mkdir()
    (alone.merged / "config.json").write_text("{}")
    found = members.of_source(str(alone.merged))
    assert (found.name, found.run) == ("alone-merged", str(alone.path))
    assert members.knows_rows(found)
    for nobody in ("nobody", "/nowhere/at/all", "no/body"):
        with pytest.raises(LoraTuiError):
            members.of_source(nobody)


@pytest.mark.parametrize("has_rows", [True, False])
def test_a_merge_knows_the_rows_of_the_runs_it_was_made_of(has_rows):
    merge = runs.create(Preset(), name="both", kind="merge", options={"has_rows": has_rows})
    merge.merged.mkdir()
    (merge.merged / "config.json").write_text("{}")
    found = members.of_source(merge.id)
    assert found.run == str(merge.path) and members.knows_rows(found) is has_rows


def test_a_name_is_a_runs_before_it_is_a_folders_or_a_models(tmp_path, monkeypatch):
    write_adapter(tmp_path / "demo")
    monkeypatch.chdir(tmp_path)
    assert members.of_source("demo").run == members.of_reference("demo").run == ""
    run = run_of(name="demo")
    run.adapter.mkdir()
    assert members.of_source("demo") == members.of_reference("demo") == members.of_run(run)
    assert members.of_reference("./demo").path == str(tmp_path / "demo")
    run_of(name="demo")
    for find in (members.of_source, members.of_reference):
        with pytest.raises(BadInput, match="fits 2 runs"):
            find("demo")
