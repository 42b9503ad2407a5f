"""Declarations, checks and what a user types."""

import pytest

from lora_tui.core.presets import TABLES, DataSettings, LoraSettings, TrainingSettings, all_knobs
from lora_tui.core.settings import SettingsError, fits, knobs_of, parse, problems_in

KNOBS = {item.key: item for item in all_knobs()}


def test_every_problem_is_reported_at_once_with_its_key() -> None:
    values = {"r": 0, "lora_alpah": 8, "lora_dropout": True, "method": "lore"}
    found = {problem.key: problem.message for problem in problems_in(LoraSettings, values, "lora")}
    assert found == {
        "lora.lora_alpah": "unknown; did you mean lora_alpha?",
        "lora.r": "0 is out of range: 1 to 1,024",
        "lora.lora_dropout": "true is not a number",
        "lora.method": '"lore" is not one of lora, full',
    }


@pytest.mark.parametrize(
    ("value", "key", "expected"),
    [
        (0, "training.learning_rate", True),
        (True, "training.learning_rate", False),
        (True, "lora.r", False),
        (1.5, "lora.r", False),
        (["a"], "lora.target_modules", True),
        ([1], "lora.target_modules", False),
        ("a", "lora.init_lora_weights", True),
        ([1, 0.5], "data.weights", True),
        (["a"], "data.weights", False),
        ([True], "data.weights", False),
        (0.5, "data.weights", False),
    ],
)
def test_which_toml_values_fit_which_settings(value: object, key: str, expected: bool) -> None:
    assert fits(value, KNOBS[key]) is expected


def test_each_number_of_a_list_is_held_to_the_range() -> None:
    found = problems_in(DataSettings, {"weights": [1, 0.0]}, "data")
    assert [str(problem) for problem in found] == [
        "data.weights: 0.0 is out of range: above 0, at most 100"
    ]


@pytest.mark.parametrize(
    ("key", "typed", "expected"),
    [
        ("lora.r", "8", 8),
        ("training.learning_rate", "2e-4", 2e-4),
        ("model.name_or_path", "HuggingFaceTB/SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M"),
        ("model.name_or_path", '"7"', "7"),
        ("model.name_or_path", "7", "7"),
        ("lora.target_modules", "q_proj, v_proj", ["q_proj", "v_proj"]),
        ("lora.target_modules", "all-linear", "all-linear"),
        ("lora.target_modules", '["q_proj"]', ["q_proj"]),
        ("lora.target_modules", "q_proj", ["q_proj"]),
        ("data.source", "rows.jsonl", "rows.jsonl"),
        ("data.source", '"one, two.jsonl"', "one, two.jsonl"),
        ("data.source", "one.jsonl, two.jsonl", ["one.jsonl", "two.jsonl"]),
        ("data.source", "one.jsonl,", ["one.jsonl"]),
        ("data.weights", "1, 0.5", [1, 0.5]),
        ("data.weights", "2", [2]),
        ("lora.init_lora_weights", "true", True),
        ("lora.init_lora_weights", "pissa", "pissa"),
        (
            "data.columns",
            "prompt=question,completion=answer",
            ["prompt=question", "completion=answer"],
        ),
        ("training.warmup_steps", "0.1", 0.1),
    ],
)
def test_typed_values_need_no_quotes(key: str, typed: str, expected: object) -> None:
    assert parse(KNOBS[key], typed) == expected


@pytest.mark.parametrize(
    ("key", "typed", "words"),
    [
        ("lora.r", "eight", '"eight" is not a whole number'),
        ("lora.r", "8.5", "8.5 is not a whole number"),
        ("lora.r", "", '"" is not a whole number'),
        ("training.learning_rate", "nan", "nan is not a finite number"),
        ("training.learning_rate", "0", "0 is out of range: above 0, at most 1"),
        ("lora.use_dora", "1", "1 is not true or false"),
        ("lora.r", '8"\nx = 1', "is not a whole number"),
    ],
)
def test_a_typed_value_that_does_not_fit_says_why(key: str, typed: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(KNOBS[key], typed)
    assert words in caught.value.problems[0].message
    assert caught.value.problems[0].key == key


def test_every_setting_is_documented_and_its_default_is_allowed() -> None:
    for item in knobs_of(TrainingSettings, "training"):
        assert item.limits.help.endswith(".")
    for key, item in KNOBS.items():
        assert item.limits.help, key
        assert not problems_in(TABLES[item.table], {item.name: _toml(item.default)}, item.table), (
            key
        )


def _toml(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
