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


def test_a_path_that_is_not_there_is_lost_and_not_the_hubs() -> None:
    assert lost(Preset()) == []
    gone = {"model.name_or_path": "./gone", "data.source": ["demo", "/no/rows.jsonl", "x.csv"]}
    preset = changed(Preset(), gone)
    assert missing_here(preset) == []
    assert [str(problem) for problem in lost(preset)] == [
        'model.name_or_path: there is no "./gone"',
        'data.source: there is no "/no/rows.jsonl"',
        'data.source: there is no "x.csv"',
    ]
    fetched = {"model.name_or_path": "a/m", "data.source": ["a/d:main", "/no/rows.jsonl"]}
    preset = changed(Preset(), fetched)
    assert missing_here(preset) == ["the model a/m", "the data a/d:main"]
    assert [problem.key for problem in lost(preset)] == ["data.source"]
