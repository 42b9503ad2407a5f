"""The report's figures, against a count made with transformers alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import pages, preset_files, runs
from lora_tui.core.pages import Pages
from lora_tui.engine import data, data_report
from lora_tui.engine.job import Job
from lora_tui.engine.sources import open_source
from lora_tui.engine.stopping import Stopping
from tests.engine.conversations import THINKING
from tests.engine.counted import SHAPES, as_messages, by_transformers, talks

GSM8K = Path(__file__).parents[3] / "shared" / "data" / "gsm8k" / "train.jsonl"
LONGEST = 120


@pytest.fixture
def report_on(tmp_path, monkeypatch, tokenizer):
    """The report on a file, and the run it was made in."""
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "home"))

    def report(source: Any, *settings: str) -> dict[str, Any]:
        preset = preset_files.with_settings(
            preset_files.find("demo"), [f"data.source={source}", *settings]
        )
        run = runs.create(preset, kind="data")
        begun = Job(run=run, preset=preset, stop=Stopping(lambda: None))
        found = data_report.read_all(begun, open_source(preset.data), tokenizer)
        found["pages"] = Pages(run.path).look()
        return found

    return report


@pytest.mark.parametrize("shape", SHAPES)
def test_the_figures_are_those_of_an_independent_count(report_on, write_rows, tokenizer, shape):
    make, name = SHAPES[shape]
    pairs = talks(200)
    found = report_on(
        write_rows(*(make(*pair) for pair in pairs)), f"model.max_seq_length={LONGEST}"
    )
    expected = by_transformers(tokenizer, pairs, LONGEST)
    assert found["format"] == name
    assert 0 < expected["truncated"] < expected["kept"]
    assert {key: found[key] for key in expected} == expected


def test_the_figures_on_gsm8k_are_those_of_an_independent_count(report_on, tokenizer):
    if not GSM8K.exists():
        pytest.skip("the GSM8K rows do not come with the repository")
    rows = [json.loads(line) for line in GSM8K.read_text("utf-8").splitlines()]
    pairs = [(row["question"], row["answer"]) for row in rows]
    found = report_on(GSM8K, "model.max_seq_length=256")
    expected = by_transformers(tokenizer, pairs, 256)
    assert found["rows"] == 7473
    assert found["format"] == "question_answer"
    assert {key: found[key] for key in expected} == expected
    assert sum(found["histogram"]["counts"]) + found["histogram"]["above"] == 7473


def test_what_is_odd_is_counted_and_named(report_on, write_rows):
    good = {"question": "What is it?", "answer": "It is a hat."}
    path = write_rows(
        good,
        {**good, "question": "Another?"},
        good,
        {**good, "answer": "  "},
        {"question": "What <|im_end|> is?", "answer": "A token."},
        {"question": "Caf\ufffd?", "answer": "Damaged."},
        "no object",
        {"question": "word " * 300, "answer": "Too late."},
    )
    found = report_on(path, "data.eval_fraction=0")
    assert found["rows"] == 8
    assert found["kept"] == 5
    assert found["dropped_rows"] == {
        "empty answer": ["row 4"],
        "its answer begins after model.max_seq_length = 256": ["row 7"],
    }
    assert found["broken"] == ["rows.jsonl:7: not a JSON object"]
    assert found["duplicates"] == {"count": 1, "rows": ["row 3"], "numbers": [2]}
    special = {"count": 1, "rows": ["row 5"], "numbers": [4]}
    assert found["special_tokens"] == {"<|im_end|>": special}
    assert found["damaged"]["rows"] == ["row 6"]
    assert found["unended"]["count"] == 0
    assert any("special token <|im_end|>" in text for text in found["warnings"])


def test_held_out_questions_that_are_trained_on_are_counted(report_on, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    rows = [{"question": f"Number {n}?", "answer": f"It is {n}."} for n in range(30)]
    leaked = {"question": "Number 3?", "answer": "It is three."}
    for name, some in (("train", rows), ("test", [leaked, {**leaked, "question": "New?"}])):
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in some))
    found = report_on(folder)
    assert (found["train_rows"], found["eval_rows"]) == (30, 2)
    assert found["overlap"] == {"count": 1, "rows": ["held-out row 1"], "numbers": [30]}


def test_each_row_has_a_page_that_shows_what_is_trained(report_on, write_rows):
    path = write_rows(
        {"question": "What is it?", "answer": "It is a hat, über 🙂."},
        {"question": "?", "answer": ""},
        {"question": "Go on?", "answer": "on and " * 200},
    )
    found = report_on(path, "model.max_seq_length=64", "data.eval_fraction=0")
    first, second, third = found["pages"]
    assert first.raw["question"] == "What is it?"
    assert [text for text, kind in first.segments if kind == "trained"] == [
        "It is a hat, über 🙂.<|im_end|>"
    ]
    assert second.left == "empty answer"
    assert third.tokens > 64
    kinds = [kind for _, kind in third.segments]
    assert kinds == ["given", "trained", "cut"]
    assert "".join(text for text, _ in third.segments) == third.text


def test_beyond_the_room_for_pages_odd_rows_are_still_kept(report_on, write_rows, monkeypatch):
    monkeypatch.setattr(pages, "MOST_BYTES", 1000)
    rows = [{"question": f"Number {n}?", "answer": f"It is {n}."} for n in range(60)]
    rows[40], rows[50], rows[55] = {"question": "?"}, rows[3], {**rows[6], "question": "a\ufffd"}
    found = report_on(write_rows(*rows), "data.eval_fraction=0")
    numbers = list(found["pages"].numbers)
    assert numbers[-3:] == [40, 50, 55]
    assert numbers[:-3] == list(range(len(numbers) - 3))
    assert len(numbers) < 20
    assert found["formats"] == {"question_answer": 60}


def test_long_rows_can_be_left_out_whole(report_on, write_rows, tokenizer):
    pairs = talks(50)
    path = write_rows(*({"question": q, "answer": a} for q, a in pairs))
    found = report_on(path, f"model.max_seq_length={LONGEST}", "data.too_long=drop")
    longer = sum(
        len(tokenizer.apply_chat_template(as_messages(*pair)["messages"])["input_ids"]) > LONGEST
        for pair in pairs
    )
    assert found["dropped"] == {f"longer than model.max_seq_length = {LONGEST}": longer}
    assert found["truncated"] == 0
    assert found["remedies"][-1]["changes"] == {"data.too_long": "cut"}


@pytest.mark.parametrize("train_on", ["all", "last"])
def test_every_way_to_train_ends_turns_and_asks_different_things(report_on, write_rows, train_on):
    rows = [{"question": f"Number {n}?", "answer": f"It is {n}."} for n in range(60)]
    found = report_on(write_rows(*rows), f"data.train_on={train_on}", "data.eval_fraction=0.2")
    assert found["unended"]["count"] == 0
    assert found["overlap"]["count"] == found["duplicates"]["count"] == 0
    assert found["eval_rows"] == 12


def test_held_out_rows_that_nobody_measures_are_said_to_be_unused(report_on, tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, count in (("train", 20), ("test", 520)):
        rows = ({"question": f"{name} {n}?", "answer": f"It is {n % 3}."} for n in range(count))
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    found = report_on(folder)
    assert (found["train_rows"], found["eval_rows"], found["unused_rows"]) == (20, 512, 8)
    assert found["overlap"]["count"] == 0
    assert [found["pages"][at].use for at in (0, 20, 539)] == ["to train", "held out", "not used"]


def test_weights_count_in_the_report_as_in_the_run(report_on, tmp_path, tokenizer):
    for name in ("a", "b"):
        rows = ({"question": f"{name} {n}?", "answer": f"It is {n}."} for n in range(40))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    sources = f"{tmp_path / 'a.jsonl'}, {tmp_path / 'b.jsonl'}"
    settings = ("data.weights=2, 0.5", "training.max_steps=-1")
    preset = preset_files.with_settings(
        preset_files.find("demo"), [f"data.source={sources}", *settings]
    )
    run = data.prepare(preset, tokenizer).report
    found = report_on(sources, *settings)
    assert found["train_rows"] == run["train_rows"]
    assert found["eval_rows"] == run["eval_rows"]


def test_a_row_that_becomes_several_examples_is_one_row(report_on, write_rows, tokenizer):
    talk = [
        {"role": "user", "content": "One <|im_end|>?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "No."},
    ]
    path = write_rows(*({"messages": talk[: 2 + 2 * (n % 2)]} for n in range(10)))
    plain, tokenizer.chat_template = tokenizer.chat_template, THINKING
    try:
        found = report_on(path, "data.eval_fraction=0")
    finally:
        tokenizer.chat_template = plain
    assert (found["rows"], found["kept"], found["train_rows"]) == (10, 10, 10)
    assert found["special_tokens"]["<|im_end|>"]["count"] == 10
    assert len(found["pages"]) == 15


def test_text_with_an_end_that_the_tokenizer_adds_has_a_page(report_on, write_rows, tokenizer):
    from tokenizers.processors import TemplateProcessing

    backend = tokenizer.backend_tokenizer
    before = backend.post_processor
    end = tokenizer.eos_token
    backend.post_processor = TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)]
    )
    try:
        found = report_on(write_rows({"text": "Once upon a time."}), "data.eval_fraction=0")
    finally:
        backend.post_processor = before
    (page,) = found["pages"]
    assert page.spans[-1][1] == len("Once upon a time.")


def test_columns_that_json_has_no_form_for_can_be_looked_at(tmp_path):
    import datetime

    row = {"day": datetime.date(2026, 1, 2), "raw": b"x", "deep": {"text": ["y" * 10**6] * 500}}
    shown = pages.shortened(row)
    assert shown["day"] == "2026-01-02"
    assert len(json.dumps(shown)) < 2 * pages.LONGEST_TEXT * 20
