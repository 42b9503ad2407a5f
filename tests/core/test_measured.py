"""What was measured before and holds again."""

import json
from pathlib import Path

import pytest

from lora_tui.core import events, measured, runs
from lora_tui.core.preset_files import with_settings
from lora_tui.core.presets import Preset


def ended(preset: Preset, kind: str, seconds: float | None) -> None:
    run = runs.create(preset, kind=kind)
    events.append(run.events, "finished", seconds_per_step=seconds)


def test_a_step_is_known_from_the_latest_job_that_took_the_same() -> None:
    preset = with_settings(Preset(name="p"), ["training.max_steps=50"])
    ended(preset, "train", 2.0)
    ended(with_settings(preset, ["lora.r=8"]), "check", 3.0)
    found = measured.collect()
    longer = with_settings(preset, ["training.max_steps=500", "training.learning_rate=1e-3"])
    step = measured.speed(found, longer)
    assert step is not None and step.seconds_per_step == 2.0
    assert step.source == "a run"
    smaller = measured.speed(found, with_settings(preset, ["lora.r=8"]))
    assert smaller is not None and smaller.source == "the check"
    elsewhere_saved = measured.speed(found, with_settings(preset, ["lora.save_dtype=float16"]))
    assert elsewhere_saved is not None and elsewhere_saved.seconds_per_step == 2.0
    changes = (
        "lora.r=9",
        "training.per_device_train_batch_size=3",
        "training.padding_free=false",
        "model.max_seq_length=64",
    )
    for change in changes:
        assert measured.speed(found, with_settings(preset, [change])) is None


def test_a_run_that_measured_nothing_says_nothing() -> None:
    ended(Preset(name="p"), "train", None)
    broken = runs.create(Preset(name="broken"))
    broken.preset.write_text("schema = [")
    assert measured.collect() == []


def test_a_report_holds_however_the_path_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    absolute = with_settings(Preset(), [f"data.source={tmp_path / 'rows.jsonl'}"])
    run = runs.create(absolute, kind="data")
    run.report.write_text(json.dumps({"tokens": {"max": 7}, "train_rows": 5}))
    found = measured.collect()
    relative = with_settings(Preset(), ["data.source=rows.jsonl", "model.max_seq_length=64"])
    report = measured.lengths(found, relative)
    assert report is not None and report["tokens"]["max"] == 7
    assert measured.lengths(found, with_settings(relative, ["data.train_on=all"])) is None
