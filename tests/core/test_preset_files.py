"""Presets on disk and on the command line."""

import tomllib
from pathlib import Path

import pytest

from lora_tui.core import locations, preset_files, presets
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.settings import SettingsError


def test_what_is_saved_is_what_is_read_with_every_default_written() -> None:
    preset = preset_files.with_settings(
        Preset(), ["lora.r=8", "lora.target_modules=q_proj", "training.warmup_steps=0.1"]
    )
    path = preset_files.save(preset, "My Preset!")
    assert path == locations.user_presets_folder() / "my-preset.toml"
    assert preset_files.load(path) == preset_files.changed(preset, {"name": "my-preset"})
    written = tomllib.loads(path.read_text())
    assert all(item.name in written[item.table] for item in presets.all_knobs())
    assert path.parent.stat().st_mode & 0o077 == 0


def test_all_problems_of_a_file_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('colour = "red"\n[lora]\nr = "8"\nranks = 3\n[training]\nlearning_rate = 7\n')
    with pytest.raises(SettingsError) as caught:
        preset_files.load(path)
    assert [problem.key for problem in caught.value.problems] == [
        "colour",
        "lora.ranks",
        "lora.r",
        "training.learning_rate",
    ]


def test_what_does_not_go_together_is_a_problem() -> None:
    with pytest.raises(SettingsError) as caught:
        preset_files.with_settings(
            Preset(),
            [
                "lora.method=full",
                "model.load_in_4bit=true",
                "training.max_steps=0",
                "training.early_stopping_patience=2",
                "engine.device=tpu",
                "lora.target_modules=[]",
                "data.columns=quest",
            ],
        )
    assert {problem.key for problem in caught.value.problems} == {
        "model.load_in_4bit",
        "training.max_steps",
        "training.early_stopping_patience",
        "engine.device",
        "lora.target_modules",
        "data.columns",
    }


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[lora\n", "is not TOML"),
        (b"\xff\xfe", "cannot be read"),
        (b"schema = 99\n", "newer than this program reads"),
        (b"lora = 3\n", "is a table"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(LoraTuiError, match=words):
        preset_files.load(path)
    entry = preset_files.Entry.read(path, shipped=False)
    assert entry.preset is None and entry.problems


def test_a_bare_key_is_matched_against_every_table() -> None:
    with pytest.raises(SettingsError) as caught:
        preset_files.with_settings(Preset(), ["r=8", "lora.rank=8", "nonsense"])
    assert [problem.message for problem in caught.value.problems] == [
        "unknown; did you mean lora.r?",
        "unknown; did you mean lora.r?",
        "write TABLE.KEY=VALUE, as in lora.r=8",
    ]


def test_a_user_preset_shadows_a_shipped_one_and_names_are_suggested() -> None:
    preset_files.save(preset_files.with_settings(Preset(), ["lora.r=3"]), "demo")
    assert preset_files.find("demo").lora.r == 3
    with pytest.raises(LoraTuiError, match="did you mean smollm2-r"):
        preset_files.find("smollm2-r33")
    with pytest.raises(LoraTuiError, match="no preset at"):
        preset_files.find("gone.toml")


def test_a_failed_save_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    path = preset_files.save(Preset(), "mine")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lora_tui.core.files.os.fsync", full)
    with pytest.raises(LoraTuiError, match="was not saved"):
        preset_files.save(preset_files.with_settings(Preset(), ["lora.r=99"]), "mine")
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["mine.toml"]


def test_shipped_presets_are_whole_and_as_promised() -> None:
    shipped = {entry.name: entry for entry in preset_files.list_presets() if entry.shipped}
    promised = {
        "demo",
        "demo-pirate",
        "smollm2-lora",
        "smollm2-r8-fast",
        "smollm2-r32",
        "smollm2-r64",
        "smollm2-attention-qv",
        "smollm2-full",
        "smollm2-dora",
        "smollm2-qlora",
        "llama3-8b-qlora",
    }
    assert promised <= set(shipped)
    assert [entry.problems for entry in shipped.values() if entry.problems] == []
    for entry in shipped.values():
        assert entry.preset and entry.preset.name == entry.name and entry.preset.description
    lora = shipped["smollm2-lora"].preset
    assert lora and (lora.lora.r, lora.lora.lora_alpha, lora.lora.lora_dropout) == (16, 16, 0.05)
    assert (
        lora.training.per_device_train_batch_size,
        lora.training.gradient_accumulation_steps,
    ) == (8, 1)
    assert (lora.training.learning_rate, lora.training.max_steps) == (2e-4, 50)
    assert lora.lora.target_modules == presets.PROJECTIONS
