"""The shapes rows come in, and why a row cannot be one."""

from typing import Any

import pytest

from lora_tui.core.presets import DataSettings
from lora_tui.engine.formats import BadRow, Shapes, detect

ASK, SAY = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": [ASK, SAY]}, "messages"),
        (
            {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
            "messages",
        ),
        ({"prompt": "Q", "completion": "A"}, "prompt_completion"),
        ({"prompt": [ASK], "completion": [SAY]}, "prompt_completion"),
        ({"instruction": "Q", "input": "", "output": "A"}, "instruction"),
        ({"question": "Q", "answer": "A", "fact": "ignored"}, "question_answer"),
        ({"Question": "Q", "Answer": "A"}, "question_answer"),
    ],
)
def test_known_shapes_become_the_same_conversation(row, name):
    layout = detect(row, DataSettings())
    assert layout.format == name
    assert layout.read(row) == [ASK, SAY]


def test_context_and_system_columns_are_used():
    row = {"system": "S", "instruction": "Q", "input": "C", "output": "A"}
    turns: Any = detect(row, DataSettings()).read(row)
    assert [turn["content"] for turn in turns] == ["S", "Q\n\nC", "A"]


def test_columns_can_be_named():
    settings = DataSettings(columns=("prompt=frage", "completion=antwort"))
    assert detect(["frage", "antwort"], settings).read({"frage": "Q", "antwort": "A"}) == [ASK, SAY]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "do not fit any known format"),
        ({"format": "messages"}, 'data.format = "messages"'),
        ({"columns": ("prompt=missing",)}, "names missing"),
    ],
)
def test_columns_that_do_not_fit_are_named(settings, says):
    from lora_tui.core.errors import LoraTuiError

    with pytest.raises(LoraTuiError, match=says) as raised:
        detect(["frage", "antwort"], DataSettings(**settings))
    assert "frage" in str(raised.value)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "Q", "answer": None}, "no answer"),
        ({"question": "Q"}, "no answer"),
        ({"question": "Q", "answer": "  "}, "empty answer"),
        ({"question": "", "answer": "A"}, "empty prompt"),
        ({"question": 3, "answer": "A"}, "prompt or answer is not text"),
    ],
)
def test_a_bad_row_has_a_reason(row, reason):
    with pytest.raises(BadRow, match=reason):
        detect(["question", "answer"], DataSettings()).read(row)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([ASK], "no answer"),
        ("text", "not a list"),
        ([ASK, {"role": "assistant", "content": ""}], "empty answer"),
        ([ASK, {"role": "assistant", "content": [{"type": "image"}]}], "not text"),
        ([{"content": "x"}], "without role"),
    ],
)
def test_a_bad_conversation_has_a_reason(turns, reason):
    with pytest.raises(BadRow, match=reason):
        detect(["messages"], DataSettings()).read({"messages": turns})


def test_turns_after_the_last_answer_are_left_out():
    read = detect(["messages"], DataSettings()).read({"messages": [ASK, SAY, ASK]})
    assert read == [ASK, SAY]


def test_a_file_may_mix_shapes():
    shapes = Shapes(["messages", "question", "answer"], DataSettings())
    assert shapes.read({"messages": [ASK, SAY]}) == [ASK, SAY]
    assert shapes.read({"question": "Q", "answer": "A"}) == [ASK, SAY]
    assert shapes.main.format == "messages"
    with pytest.raises(BadRow, match="no messages"):
        shapes.read({"id": 1})


def test_a_named_format_is_the_only_one():
    shapes = Shapes(["text", "question", "answer"], DataSettings(format="text"))
    with pytest.raises(BadRow, match="no text"):
        shapes.read({"question": "Q", "answer": "A"})


@pytest.mark.parametrize(
    ("turn", "role"),
    [
        ({"from": "human", "value": "x"}, "user"),
        ({"role": "prompter", "text": "x"}, "user"),
        ({"role": "Assistant", "content": "x"}, "assistant"),
        ({"from": "chatgpt", "value": "x"}, "assistant"),
        ({"speaker": "observation", "value": "x"}, "tool"),
        ({"role": "system", "content": "x"}, "system"),
    ],
)
def test_roles_have_many_names(turn, role):
    talk = detect(["messages"], DataSettings()).read({"messages": [turn, ASK, SAY]})
    assert talk[0] == {"role": role, "content": "x"}


def test_an_answer_may_be_a_call_of_a_tool():
    calls = [{"type": "function", "function": {"name": "weather", "arguments": "{}"}}]
    call = {"role": "assistant", "content": None, "tool_calls": calls}
    result = {"role": "tool", "content": ""}
    talk = detect(["messages"], DataSettings()).read({"messages": [ASK, call, result, SAY]})
    assert talk == [ASK, {**call, "content": ""}, result, SAY]
