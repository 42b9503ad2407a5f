"""Rows from files: what is kept, what is dropped and why, and how they are split."""

import json

import pytest

from lora_tui.core import preset_files
from lora_tui.core.consequences import planned_steps
from lora_tui.core.errors import LoraTuiError
from lora_tui.engine import data
from tests.engine.conversations import preset_for

GOOD = {"question": "What is it?", "answer": "It is a hat."}


def test_rows_are_counted_by_what_became_of_them(write_rows, tokenizer):
    long = {"question": "word " * 200, "answer": "Too late."}
    path = write_rows(GOOD, {**GOOD, "answer": ""}, {"question": "?"}, long, "no object", GOOD)
    path.write_text(path.read_text() + "{cut off\n")
    found = data.prepare(preset_for(path, "model.max_seq_length=64"), tokenizer).report
    assert found["rows"] == 7
    assert found["kept"] == 2
    assert found["dropped"] == {
        "empty answer": 1,
        "no answer": 1,
        "its answer begins after model.max_seq_length = 64": 1,
        "not a JSON object": 1,
        "not JSON": 1,
    }
    assert found["broken"] == ["rows.jsonl:5: not a JSON object", "rows.jsonl:7:2: not JSON"]
    assert found["format"] == "question_answer"
    assert found["columns"] == {"prompt": "question", "completion": "answer"}
    assert 0 < found["trained_share"] < 1


def test_a_cut_answer_is_kept_and_counted(write_rows, tokenizer):
    path = write_rows(GOOD, {"question": "Go on?", "answer": "on and " * 100})
    prepared = data.prepare(preset_for(path, "model.max_seq_length=64"), tokenizer)
    assert prepared.report["truncated"] == 1
    assert prepared.report["longest"] == 64
    assert all(example.trained for example in prepared.train.examples)


def test_no_row_left_is_a_failure_with_its_cause(write_rows, tokenizer):
    path = write_rows({**GOOD, "answer": ""}, {**GOOD, "answer": " "})
    with pytest.raises(LoraTuiError, match=r"empty answer \(2\)"):
        data.prepare(preset_for(path), tokenizer)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "holds no rows"),
        (b"not json\n", "holds no rows"),
        (b"[1, 2]", "holds no rows"),
        (b"\xff\xfe\x00", "rows.jsonl:1: not UTF-8"),
    ],
)
def test_an_unreadable_file_is_named(tmp_path, tokenizer, content, says):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(LoraTuiError, match=says):
        data.prepare(preset_for(path), tokenizer)


def test_missing_and_foreign_files_are_named(tmp_path, tokenizer):
    with pytest.raises(LoraTuiError, match="There is no data"):
        data.prepare(preset_for(tmp_path / "gone.jsonl"), tokenizer)
    (tmp_path / "rows.xls").write_text("a,b\n")
    with pytest.raises(LoraTuiError, match="of no kind that holds rows"):
        data.prepare(preset_for(tmp_path / "rows.xls"), tokenizer)


def test_a_folder_is_all_files_in_it(tmp_path, tokenizer):
    (tmp_path / "a.jsonl").write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "b.csv").write_text("question,answer\nWho?,Me.\n")
    (tmp_path / "notes.pdf").write_bytes(b"%PDF")
    found = data.prepare(preset_for(tmp_path), tokenizer)
    assert {row["answer"] for row in found.train.rows} == {"It is a hat.", "Me."}


def test_of_a_folder_with_train_and_test_the_test_is_held_out(tmp_path, tokenizer):
    (tmp_path / "train.csv").write_text("question,answer\nWho?,Me.\n")
    (tmp_path / "test.jsonl").write_text(json.dumps(GOOD) + "\nbroken\n")
    found = data.prepare(preset_for(tmp_path), tokenizer)
    assert [row["answer"] for row in found.held_out.rows] == ["It is a hat."]
    assert found.report["train_rows"] == 1 and found.report["rows"] == 3
    assert found.report["dropped"] == {"not JSON": 1}


def test_a_folder_without_data_is_named(tmp_path, tokenizer):
    with pytest.raises(LoraTuiError, match="holds no data file"):
        data.prepare(preset_for(tmp_path), tokenizer)


def test_a_json_list_is_rows_too(tmp_path, tokenizer):
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([GOOD, GOOD]))
    assert data.prepare(preset_for(path), tokenizer).report["kept"] == 2


def numbered(count):
    """Rows that can be told apart."""
    return [{"question": f"What is number {n}?", "answer": f"It is {n}."} for n in range(count)]


def test_the_split_is_drawn_by_the_seed_and_overlaps_nowhere(write_rows, tokenizer):
    path = write_rows(*numbered(100))
    one = data.prepare(preset_for(path, "data.eval_fraction=0.1"), tokenizer)
    same = data.prepare(preset_for(path, "data.eval_fraction=0.1"), tokenizer)
    other = data.prepare(preset_for(path, "data.eval_fraction=0.1", "training.seed=1"), tokenizer)
    assert len(one.held_out.rows) == 10
    assert list(one.held_out.rows) == list(same.held_out.rows) != list(other.held_out.rows)
    questions = {row["question"] for row in (*one.held_out.rows, *one.train.rows)}
    assert len(questions) == 100


@pytest.mark.parametrize(
    ("rows", "share", "held_out"), [(20, 0.01, 1), (19, 0.01, 0), (3000, 0.4, 512)]
)
def test_the_held_out_part_has_sensible_ends(write_rows, tokenizer, rows, share, held_out):
    path = write_rows(*numbered(rows))
    report = data.prepare(preset_for(path, f"data.eval_fraction={share}"), tokenizer).report
    assert report["eval_rows"] == held_out
    assert report["train_rows"] == rows - held_out


def test_a_short_run_measures_on_few_rows(tokenizer):
    preset = preset_files.with_settings(preset_files.find("smollm2-lora"), [])
    assert data.held_out_share(preset, 460_000) == 32
    longer = preset_files.with_settings(preset, ["training.max_steps=500"])
    assert data.held_out_share(longer, 460_000) == round(4000 * 0.05 / 0.95)


def test_a_short_run_does_not_only_see_the_head_of_the_file(tokenizer):
    demo = preset_files.with_settings(preset_files.find("demo"), ["training.max_steps=2"])
    prepared = data.prepare(demo, tokenizer)
    whole = data.prepare(preset_files.find("demo"), tokenizer)
    assert len(prepared.train.rows) == 16
    assert list(prepared.train.rows) != whole.train.rows[:16]


def test_no_more_rows_are_read_than_the_steps_will_see(write_rows, tokenizer):
    path = write_rows(*numbered(200), {"question": "bad", "answer": ""})
    preset = preset_for(path, "training.max_steps=3", "training.gradient_accumulation_steps=2")
    report = data.prepare(preset, tokenizer).report
    assert report["train_rows"] == 3 * 2 * 8
    assert report["rows"] == 201
    assert report["read"] < 60


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "epochs", "processes", "steps"),
    [
        (100, 8, 1, 1, 1, 13),
        (100, 8, 4, 1, 1, 4),
        (100, 8, 4, 2.5, 1, 10),
        (3, 8, 4, 1, 1, 1),
        (100, 8, 1, 1, 2, 7),  # thirteen batches, of which one is taken twice
        (100, 8, 4, 2.5, 2, 5),
    ],
)
def test_steps_are_planned_as_the_trainer_counts_them(
    *, rows, batch, accumulation, epochs, processes, steps
):
    preset = preset_for(
        "demo",
        f"training.per_device_train_batch_size={batch}",
        f"training.gradient_accumulation_steps={accumulation}",
        f"training.num_train_epochs={epochs}",
        f"engine.processes={processes}",
    )
    assert planned_steps(preset, rows) == steps


def test_a_folder_brings_its_own_held_out_rows_and_task(tokenizer):
    prepared = data.prepare(preset_files.find("demo-pirate"), tokenizer)
    assert prepared.report["eval_rows"] == 120
    assert prepared.report["train_rows"] == 800
    assert prepared.task is not None
    prompt = data.prompt_of(prepared, prepared.held_out.rows[0])
    assert prompt is not None
    question, ids = prompt
    assert question == prepared.held_out.rows[0]["question"]
    assert tokenizer.decode(ids).endswith("<|im_start|>assistant\n")


def test_a_conversation_may_open_with_an_answer(write_rows, tokenizer):
    hello = {"role": "assistant", "content": "Hello!"}
    asked = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Me."}]
    path = write_rows({"messages": [hello, *asked]}, {"messages": [hello]})
    found = data.prepare(preset_for(path), tokenizer)
    assert found.report["dropped"] == {"it begins with an answer: nothing is asked": 1}
    (example,) = found.train.examples
    trained = [
        token
        for token, label in zip(example.input_ids, example.labels, strict=True)
        if label != -100
    ]
    assert tokenizer.decode(trained).startswith("Me.")
    assert data.prompt_of(found, {"messages": [hello]}) is None


def test_a_scoring_that_is_none_is_named(tmp_path, tokenizer):
    for name in ("train.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(json.dumps(GOOD) + "\n")
    (tmp_path / "task.toml").write_text("[score]\npattern = '(?P<fact>.*)'\n")
    with pytest.raises(LoraTuiError, match=r"description and score\.pattern"):
        data.prepare(preset_for(tmp_path), tokenizer)
    (tmp_path / "task.toml").write_text("description = 'x'\n[score]\npattern = '(?P<fact>.*)'\n")
    with pytest.raises(LoraTuiError, match="has no `fact`"):
        data.prepare(preset_for(tmp_path), tokenizer)


def test_other_held_out_rows_are_other_data(tmp_path, tokenizer):
    prints = []
    (tmp_path / "train.jsonl").write_text(json.dumps(GOOD) + "\n")
    for answer in ("One.", "Two."):
        (tmp_path / "test.jsonl").write_text(json.dumps({**GOOD, "answer": answer}) + "\n")
        prints.append(data.prepare(preset_for(tmp_path), tokenizer).report["fingerprint"])
    assert prints[0] != prints[1]


# --- Several sources ---------------------------------------------------------------------------


def some(name, count):
    return [{"question": f"{name} {n}?", "answer": f"{name} is {n}."} for n in range(count)]


def asked(prepared):
    return [row["question"] for row in prepared.train.rows]


def test_several_sources_count_as_their_weights_say(tmp_path, tokenizer):
    for name in ("a", "b", "c"):
        lines = (json.dumps(row) for row in some(name, 20))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    sources = ", ".join(str(tmp_path / f"{name}.jsonl") for name in ("a", "b", "c"))
    prepared = data.prepare(preset_for(sources, "data.weights=1, 0.5, 2"), tokenizer)
    found = asked(prepared)
    counts = {name: [one for one in found if one.startswith(name)] for name in "abc"}
    assert {name: len(rows) for name, rows in counts.items()} == {"a": 20, "b": 10, "c": 40}
    assert len(set(counts["b"])) == 10
    assert len(set(counts["c"])) == 20
    assert found != sorted(found)
    assert prepared.report["rows"] == 60


def test_a_held_out_row_is_never_trained_whatever_the_weight(tmp_path, tokenizer):
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in some("a", 40)))
    settings = (f"data.source={path},", "data.weights=3", "data.eval_fraction=0.25")
    preset = preset_files.with_settings(preset_for(path), settings)
    prepared = data.prepare(preset, tokenizer)
    held_out = {row["question"] for row in prepared.held_out.rows}
    assert len(held_out) == 10
    assert len(asked(prepared)) == 90
    assert not held_out & set(asked(prepared))


def test_sources_of_different_shapes_are_read_each_as_it_is(tmp_path, tokenizer):
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "Q", "answer": "A"}))
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "Once upon a time."}))
    sources = f"{tmp_path / 'a.jsonl'}, {tmp_path / 'b.jsonl'}"
    prepared = data.prepare(preset_for(sources), tokenizer)
    assert prepared.report["kept"] == 2
    assert prepared.shapes.counts == {"question_answer": 1, "text": 1}
