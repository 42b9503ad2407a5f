"""What a preset names: here, for the Hub to give, or nowhere."""

from pathlib import Path

import pytest

from lora_tui.core.named import lost, missing_here
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset


def test_what_is_neither_built_in_nor_here_has_to_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    assert missing_here(Preset()) == []
    preset = changed(Preset(), {"model.name_or_path": "a/m", "data.source": "a/d"})
    assert missing_here(preset) == ["the model a/m", "the data a/d"]
    (hub / "models--a--m" / "refs").mkdir(parents=True)
    (hub / "models--a--m" / "refs" / "main").write_text("abc")
    (hub / "models--a--m" / "snapshots" / "abc").mkdir(parents=True)
    (hub / "datasets--a--d" / "snapshots").mkdir(parents=True)
    assert missing_here(preset) == []
    rows = tmp_path / "rows.jsonl"
    rows.write_text("{}\n")
    local = {"model.name_or_path": str(tmp_path), "data.source": str(rows)}
    assert missing_here(changed(Preset(), local)) == []


def test_a_path_that_is_not_there_is_lost_and_not_the_hubs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lost(Preset()) == []
    gone = {"model.name_or_path": "./gone", "data.source": ["demo", "/no/rows.jsonl", "x.csv"]}
    preset = changed(Preset(), gone)
    assert missing_here(preset) == []
    assert [str(problem) for problem in lost(preset)] == [
        f'model.name_or_path: there is no "./gone" in {tmp_path}',
        f'data.source: there is no "/no/rows.jsonl" and no "x.csv" in {tmp_path}',
    ]
    fetched = {"model.name_or_path": "a/m", "data.source": ["a/d:main", "/no/rows.jsonl"]}
    preset = changed(Preset(), fetched)
    assert missing_here(preset) == ["the model a/m", "the data a/d:main"]
    assert [problem.key for problem in lost(preset)] == ["data.source"]


def test_a_model_is_a_folder_and_the_folder_one_is_in_may_be_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for name in ("m.gguf", "gpt2"):  # also where the Hub has a model of that name
        (here / name).write_text("")
        preset = changed(Preset(), {"model.name_or_path": name, "data.source": name})
        (problem,) = lost(preset)
        assert str(problem) == f'model.name_or_path: "{name}" is a file, and a model is a folder'
        assert missing_here(preset) == []
        (here / name).unlink()
    here.rmdir()
    preset = changed(Preset(), {"model.name_or_path": "./m", "data.source": "./rows.csv"})
    assert len(lost(preset)) == 2
    assert all(problem.message.endswith("in this folder") for problem in lost(preset))
