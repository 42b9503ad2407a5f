"""Conversations with tools, and rows of anything."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.engine import data
from lora_tui.engine.formats import Shapes
from lora_tui.engine.reading import Left, Reader
from lora_tui.engine.templates import ChatTemplate
from tests.engine.conversations import preset_for

# --- Tools -------------------------------------------------------------------------------------

SHOWS_TOOLS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{% for call in m.get('tool_calls') or [] %}{{ '<call>' + call.function.name }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather"}}]}
TOOL_TALK = [
    {"role": "user", "content": "Rain?"},
    CALL,
    {"role": "tool", "content": '{"rain": true}'},
    {"role": "assistant", "content": "Yes."},
]


def test_a_call_of_a_tool_is_trained_where_the_template_shows_it(write_rows, tokenizer):
    shows = copy.deepcopy(tokenizer)
    shows.chat_template = SHOWS_TOOLS
    path = write_rows({"messages": TOOL_TALK})
    (example,) = data.prepare(preset_for(path), shows).train.examples
    trained = shows.decode([token for token in example.labels if token != -100])
    assert trained == "<call>weather<|im_end|>Yes.<|im_end|>"


@pytest.mark.parametrize(
    ("talk", "template", "reason"),
    [
        (TOOL_TALK, None, "does not show which tool is called"),
        (
            [TOOL_TALK[0], *TOOL_TALK[2:]],
            SHOWS_TOOLS.replace("m['content']", "(m['content'] if m['role'] != 'tool' else '')"),
            "does not show what tools answer",
        ),
    ],
)
def test_what_a_template_hides_is_said(write_rows, tokenizer, talk, template, reason):
    hides = copy.deepcopy(tokenizer)
    hides.chat_template = template or tokenizer.chat_template
    path = write_rows({"messages": talk}, {"question": "Q", "answer": "A"})
    (left,) = data.prepare(preset_for(path), hides).report["dropped"]
    assert reason in left


# --- Anything ----------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "from", "content", "value", "x"]), inner)
    ),
    max_leaves=6,
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", "tool", "GPT", ""]) | JSON,
            "content": st.text(max_size=20) | JSON,
            "tool_calls": JSON,
        },
    ),
    max_size=5,
)
COLUMNS = st.sampled_from(["question", "answer", "prompt", "completion", "text", "input"])
ROWS = st.lists(
    st.dictionaries(COLUMNS, JSON) | st.builds(lambda turns: {"messages": turns}, TURNS | JSON),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.sampled_from(["assistant", "last", "all"]))
def test_no_row_ends_in_a_traceback(tokenizer, rows, train_on):
    preset = preset_for("demo", f"data.train_on={train_on}", "model.max_seq_length=32")
    shapes = Shapes(["messages", "question", "answer", "text"], preset.data)
    reader = Reader(preset, shapes, ChatTemplate(tokenizer))
    items = list(reader.read(enumerate(rows)))
    assert {item.number for item in items} == set(range(len(rows)))
    for item in items:
        if isinstance(item, Left):
            assert item.reason
            continue
        example = item.example
        assert len(example.labels) == len(example.input_ids) <= 32
        assert example.trained == sum(label != -100 for label in example.labels) > 0
