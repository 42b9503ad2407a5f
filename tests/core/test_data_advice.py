"""What a report means in words, and which changes help: each with a report that calls for it."""

from typing import Any

import pytest

from lora_tui.core import data_advice
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset

NONE: dict[str, Any] = {"count": 0, "rows": []}
PLAIN: dict[str, Any] = {
    "source": "rows.jsonl",
    "format": "question_answer",
    "formats": {"question_answer": 1000},
    "columns": {"prompt": "question", "completion": "answer"},
    "unused_columns": [],
    "rows": 1000,
    "kept": 1000,
    "train_rows": 950,
    "eval_rows": 50,
    "steps_see": None,
    "dropped": {},
    "dropped_rows": {},
    "broken": [],
    "sources": [{"name": "rows.jsonl", "rows": 1000, "weight": 1.0}],
    "unused_rows": 0,
    "max_seq_length": 512,
    "model_limit": 8192,
    "tokens": {"p50": 100, "p90": 200, "p99": 300, "max": 400, "total": 100_000},
    "answers": {"p50": 50, "p90": 90, "p99": 99, "max": 120},
    "truncated": 0,
    "truncated_share": 0.0,
    "lost_share": 0.0,
    "trained_share": 0.5,
    "padding_share": 0.1,
    "duplicates": NONE,
    "overlap": NONE,
    "special_tokens": {},
    "damaged": NONE,
    "unended": NONE,
    "talks": {},
}
LONG = {
    "tokens": {"p50": 400, "p90": 600, "p99": 700, "max": 900, "total": 1},
    "truncated": 300,
    "truncated_share": 0.3,
    "lost_share": 0.1,
}


def test_nothing_odd_is_nothing_said() -> None:
    assert data_advice.warnings(PLAIN) == []
    assert data_advice.remedies(PLAIN, changed(Preset(), {"model.max_seq_length": 512})) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kept": 0}, "No row can be trained on"),
        (LONG, "30.0 % of the rows are longer than 512 tokens"),
        ({"unended": {"count": 3}}, "3 of 1,000 rows no end-of-turn token"),
        ({"max_seq_length": 10_000, "tokens": {"max": 9000}}, "longer than the 8,192"),
        ({"dropped": {"no answer": 7}}, "7 of 1,000 rows left out: no answer."),
        (
            {
                "dropped": {"no answer": 4, "not JSON": 1},
                "dropped_rows": {"no answer": ["row 1", "row 2", "row 3", "row 9"]},
                "broken": ["rows.jsonl:7:2: not JSON"],
            },
            "no answer (row 1, row 2, row 3, ...).\n"
            "1 of 1,000 rows left out: not JSON (rows.jsonl:7:2).",
        ),
        ({"overlap": {"count": 4}}, "4 of 50 held-out rows ask what a training row asks"),
        ({"duplicates": {"count": 60}}, "60 of 1,000 rows repeat"),
        ({"eval_rows": 0}, "No row is held out"),
        ({"train_rows": 12}, "12 training rows are few"),
        ({"formats": {"text": 2, "messages": 5}}, "several shapes: text 2, messages 5"),
        ({"padding_share": 0.6}, "60.0 % of what is computed is padding"),
        ({"padding_share": 0.6, "padding_free": True}, "60.0 % of what a GPU computes is padding"),
        ({"special_tokens": {"<|im_end|>": {"count": 1}}}, "text of 1 row: the model takes"),
        ({"damaged": {"count": 2}}, "in 2 rows: an encoding"),
        ({"talks": {"tool": 2}}, "Tools are called or answer in 2 rows"),
        ({"unused_columns": ["id", "url"]}, "the columns id, url"),
    ],
)
def test_each_oddity_is_said(change: dict[str, Any], says: str) -> None:
    report = {**PLAIN, **change}
    assert says in "\n".join(data_advice.warnings(report))


def remedies(report: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    preset = changed(Preset(), {"model.max_seq_length": 512, **changes})
    return [dict(remedy.changes) for remedy in data_advice.remedies({**PLAIN, **report}, preset)]


def test_long_rows_can_be_given_room_or_left_out() -> None:
    assert remedies(LONG) == [{"model.max_seq_length": 700}, {"data.too_long": "drop"}]


def test_a_few_long_rows_are_given_room_for_the_longest() -> None:
    tokens = {"p50": 400, "p90": 450, "p99": 500, "max": 900, "total": 1}
    few = {**LONG, "tokens": tokens}
    assert remedies(few)[0] == {"model.max_seq_length": 900}


def test_no_more_room_is_offered_than_the_model_was_made_for() -> None:
    assert remedies({**LONG, "model_limit": 600})[0] == {"model.max_seq_length": 600}
    assert remedies({**LONG, "model_limit": 512}) == [{"data.too_long": "drop"}]


def test_rows_left_out_for_their_length_can_be_cut_instead() -> None:
    dropped = {**LONG, "truncated": 0, "kept": 700}
    assert remedies(dropped, **{"data.too_long": "drop"})[-1] == {"data.too_long": "cut"}


def test_facts_are_few_where_no_row_is_left() -> None:
    assert [name for name, _ in data_advice.facts({**PLAIN, "kept": 0})] == [
        *("source", "format", "rows")
    ]
    facts = dict(data_advice.facts({**PLAIN, **LONG, "steps_see": 400}))
    assert facts["cut 512"] == "300 rows (30.0 %), 10.0 % of the trained tokens"
    assert facts["rows"].endswith("; the run sees 400")
