"""Rows tokenised once are the same when they are recalled, and never those of something else."""

import json
import time
from dataclasses import replace
from typing import Any

import pytest

from lora_tui.engine import data, kept, reading
from tests.engine.conversations import SMOLLM2, preset_for

ROWS: list[dict[str, Any]] = [
    *({"question": f"What is {n}?", "answer": f"It is {n} " * (n % 7)} for n in range(1100)),
    {"question": "Both?", "answer": "on and " * 200},
    {"question": "?"},
    {"messages": [{"role": "user", "content": "Hi"}]},
]


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """A file of rows: good ones, long ones, and some that are left out."""
    path = tmp_path_factory.mktemp("kept") / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "{cut off\n")
    return path


def asked(path, *settings):
    return preset_for(path, "training.max_steps=-1", *settings)


def files():
    return sorted(kept.folder().iterdir())


def same(one, other):
    """Whether everything of two readings that a run looks at is equal."""
    parts = ((one.train, other.train), (one.held_out, other.held_out))
    return one.report == other.report and all(
        (a.examples, a.numbers, a.dropped, a.read, list(a.rows))
        == (b.examples, b.numbers, b.dropped, b.read, list(b.rows))
        for a, b in parts
    )


def test_what_is_recalled_is_what_was_read(rows, tokenizer):
    preset = asked(rows, "model.max_seq_length=64", "data.eval_fraction=0.1")
    first = data.prepare(preset, tokenizer)
    assert first.report["truncated"] and first.report["eval_rows"]
    assert len(first.report["dropped"]) == 3
    (file,) = files()
    assert file.stat().st_mode & 0o777 == 0o600
    assert kept.folder().stat().st_mode & 0o777 == 0o700
    written = file.stat().st_mtime_ns, file.stat().st_ino
    again = data.prepare(preset, tokenizer)
    assert files() == [file]
    assert file.stat().st_ino == written[1]
    assert same(first, again)
    assert first.template.warnings == again.template.warnings
    assert list(first.report["dropped"]) == list(again.report["dropped"])
    file.unlink()
    assert same(first, data.prepare(preset, tokenizer))


def test_a_recalled_part_is_not_read_again(rows, tokenizer, monkeypatch):
    preset = asked(rows)
    first = data.prepare(preset, tokenizer)
    monkeypatch.delattr(reading.Reader, "read")
    assert same(first, data.prepare(preset, tokenizer))


@pytest.mark.parametrize(
    "setting",
    ["model.max_seq_length=32", "training.seed=1", "data.eval_fraction=0.2", "data.train_on=all"],
)
def test_other_settings_are_other_rows(rows, tokenizer, setting):
    first = data.prepare(asked(rows), tokenizer)
    other = data.prepare(asked(rows, setting), tokenizer)
    assert len(files()) == 2
    assert not same(first, other)


def test_an_edited_file_is_read_anew(write_rows, tokenizer):
    path = write_rows(*ROWS)
    first = data.prepare(asked(path), tokenizer)
    write_rows({**ROWS[1], "answer": "It is 1, as said. "}, *ROWS[1:])
    assert not same(first, data.prepare(asked(path), tokenizer))
    assert len(files()) == 2


def test_another_template_or_vocabulary_is_read_anew(rows, tokenizer):
    first = data.prepare(asked(rows), tokenizer)
    before = tokenizer.chat_template
    tokenizer.chat_template = SMOLLM2
    try:
        assert not same(first, data.prepare(asked(rows), tokenizer))
        tokenizer.chat_template = SMOLLM2 + "{{ strftime_now('%f') }}"  # the time, in microseconds
        data.prepare(asked(rows), tokenizer)
        data.prepare(asked(rows), tokenizer)
        assert len(files()) == 4
    finally:
        tokenizer.chat_template = before
    wider = type(tokenizer).from_pretrained(tokenizer.name_or_path)
    wider.add_tokens(["What is"])
    assert not same(first, data.prepare(asked(rows), wider))


def test_a_template_that_may_tell_the_date_is_read_anew_each_day(rows, tokenizer, monkeypatch):
    before = tokenizer.chat_template
    told = "{% if messages[0].role == 'system' %}{{ strftime_now('%F') }}{% endif %}"
    try:
        for template, kept_files in ((SMOLLM2, 1), (SMOLLM2 + told, 3)):
            tokenizer.chat_template = template
            for day in ("2026-11-28", "2026-11-29", "2026-11-29"):
                monkeypatch.setattr(time, "strftime", lambda _, day=day: day)
                data.prepare(asked(rows), tokenizer)
            assert len(files()) == kept_files
    finally:
        tokenizer.chat_template = before


@pytest.mark.parametrize("harm", ["cut", "flipped", "emptied"])
def test_a_broken_file_is_written_anew(rows, tokenizer, harm):
    first = data.prepare(asked(rows), tokenizer)
    (file,) = files()
    whole = bytearray(file.read_bytes())
    harmed = {"cut": whole[:-5], "emptied": b"", "flipped": whole[:-1] + bytes([whole[-1] ^ 1])}
    file.write_bytes(harmed[harm])
    assert same(first, data.prepare(asked(rows), tokenizer))
    assert file.read_bytes() == whole


def test_what_was_used_longest_ago_goes_first(rows, tokenizer, monkeypatch):
    for seed in range(2):
        data.prepare(asked(rows, f"training.seed={seed}"), tokenizer)
    one, other = sorted(files(), key=lambda file: file.stat().st_mtime_ns)
    monkeypatch.setattr(kept, "MOST_BYTES", 2 * one.stat().st_size + 4000)
    data.prepare(asked(rows, "training.seed=0"), tokenizer)  # used again: it stays
    data.prepare(asked(rows, "training.seed=2"), tokenizer)
    assert one in files()
    assert other not in files()
    assert len(files()) == 2


def test_too_much_or_too_little_is_not_kept(rows, tokenizer, monkeypatch):
    data.prepare(preset_for(rows, "training.max_steps=3"), tokenizer)
    monkeypatch.setattr(kept, "MOST_BYTES", 1000)
    data.prepare(asked(rows), tokenizer)
    assert not kept.folder().exists()


def test_a_model_with_code_of_its_own_is_not_kept(rows, tokenizer):
    preset = asked(rows)
    data.prepare(replace(preset, model=replace(preset.model, trust_remote_code=True)), tokenizer)
    assert not kept.folder().exists()
