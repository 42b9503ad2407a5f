"""What is trained, read back as text, for the templates that models really come with."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.core.presets import DataSettings
from lora_tui.engine import masking
from lora_tui.engine.formats import BadRow, detect
from lora_tui.engine.masking import IGNORED, encode, encode_marked, encode_text, render
from lora_tui.engine.templates import CHATML, ChatTemplate

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    " + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)
LLAMA2 = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + message['content'].strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'].strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)
MARKED = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ '<|im_start|>assistant\n' }}{% generation %}{{ message['content'] + '<|im_end|>' }}"
    "{% endgeneration %}{{ '\n' }}{% else %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As Qwen3's: a thought is shown in the last turn only, so earlier turns change as a talk goes on.
THINKING = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}"
    "{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    "{{ message['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# As DeepSeek-R1's: the prompt opens a thought that the rendered answer does not show.
OPENS_THOUGHT = THINKING.replace("'<think>\n\n</think>\n\n'", "''").replace(
    "'<|im_start|>assistant\n' }}{% endif %}", "'<|im_start|>assistant\n<think>\n' }}{% endif %}"
)

TALK = [
    {"role": "user", "content": "What is 2 + 2?"},
    {"role": "assistant", "content": "It is four."},
    {"role": "user", "content": "And in Latin?\nIt is four, I know."},
    {"role": "assistant", "content": "Quattuor: über “vier” 🙂 it is."},
]
ANSWERS = [TALK[1]["content"], TALK[3]["content"]]


def with_template(tokenizer: Any, template: str | None) -> ChatTemplate:
    """The demo's tokenizer with another template, and the special tokens templates write."""
    import copy

    own = copy.deepcopy(tokenizer)
    marks = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>")
    own.add_special_tokens({"additional_special_tokens": [*marks, "<end_of_turn>"]})
    own.chat_template = template
    return ChatTemplate(own)


def trained_text(template: ChatTemplate, messages: Any, longest: int = 10_000) -> list[str]:
    """What counts in each row, decoded."""
    rendered = render(template, list(messages))
    examples = encode(template.tokenizer, rendered, longest, train_on="assistant")
    return [decode(template.tokenizer, example) for example in examples]


def decode(tokenizer: Any, example: Any) -> str:
    """The trained tokens as text."""
    return tokenizer.decode([token for token in example.labels if token != IGNORED])


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (SMOLLM2, "<|im_end|>"),
        (CHATML, "<|im_end|>"),
        (LLAMA3, "<|eot_id|>"),
        (GEMMA, "<end_of_turn>"),
        (OPENS_THOUGHT, "<|im_end|>"),
    ],
    ids=["smollm2", "chatml", "llama3", "gemma", "opens-thought"],
)
def test_every_answer_and_its_end_is_trained_and_nothing_else(tokenizer, template, end):
    expected = "".join(answer + end for answer in ANSWERS)
    assert trained_text(with_template(tokenizer, template), TALK) == [expected]


def test_the_space_that_llama2_puts_before_an_answer_is_the_answers(tokenizer):
    expected = "".join(f" {answer} <|im_end|>" for answer in ANSWERS)
    assert trained_text(with_template(tokenizer, LLAMA2), TALK) == [expected]


def test_markers_of_the_template_are_followed(tokenizer):
    template = with_template(tokenizer, MARKED)
    assert template.has_markers
    example = encode_marked(template, TALK, 10_000, train_on="assistant")
    assert decode(template.tokenizer, example) == "".join(f"{a}<|im_end|>" for a in ANSWERS)
    assert not template.warnings


def test_markers_without_the_end_of_turn_are_warned_about(tokenizer):
    cut = MARKED.replace(
        " + '<|im_end|>' }}{% endgeneration %}", " }}{% endgeneration %}{{ '<|im_end|>' }}"
    )
    template = with_template(tokenizer, cut)
    encode_marked(template, TALK, 10_000, train_on="assistant")
    assert "may not learn to stop" in template.warnings[0]


def test_a_template_that_rewrites_earlier_turns_gives_a_row_for_each_answer(tokenizer):
    template = with_template(tokenizer, THINKING)
    thought = "<think>\n\n</think>\n\n"
    assert trained_text(template, TALK) == [f"{thought}{answer}<|im_end|>" for answer in ANSWERS]
    assert "rewrites earlier turns" in template.warnings[0]


def test_a_template_without_a_system_role_gets_the_text_in_the_first_question(tokenizer):
    template = with_template(tokenizer, GEMMA)
    rendered = render(template, [{"role": "system", "content": "Be brief."}, *TALK])
    assert "<start_of_turn>user\nBe brief.\n\nWhat is 2 + 2?" in rendered[0].text
    assert "no system role" in template.warnings[0]


def test_a_row_that_the_template_refuses_is_named(tokenizer):
    with pytest.raises(BadRow, match="must alternate"):
        render(with_template(tokenizer, GEMMA), [TALK[0], TALK[0], TALK[1]])


def test_a_template_that_changes_answers_is_refused(tokenizer):
    shouting = CHATML.replace("message['content']", "message['content'] | upper")
    with pytest.raises(BadRow, match="does not show the answer"):
        render(with_template(tokenizer, shouting), TALK)


def test_a_model_without_a_template_gets_one_and_says_so(tokenizer):
    template = with_template(tokenizer, None)
    assert trained_text(template, TALK) == ["".join(f"{a}<|im_end|>" for a in ANSWERS)]
    assert "ChatML" in template.warnings[0]


def test_a_vocabulary_without_chatml_gets_plain_words(tokenizer):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab={**letters, "</s>": len(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="</s>")
    template = ChatTemplate(wrapped)
    assert trained_text(template, TALK) == ["".join(f" {answer}</s>" for answer in ANSWERS)]
    assert "User: ... Assistant: ..." in template.warnings[0]


def test_what_follows_the_cut_is_not_trained(tokenizer):
    template = with_template(tokenizer, SMOLLM2)
    whole = encode(template.tokenizer, render(template, TALK), 10_000, train_on="assistant")[0]
    cut = encode(template.tokenizer, render(template, TALK), 40, train_on="assistant")[0]
    assert cut.truncated
    assert not whole.truncated
    assert list(cut.input_ids) == list(whole.input_ids)[:40]
    assert (
        encode(template.tokenizer, render(template, TALK), 10, train_on="assistant")[0].trained == 0
    )


def test_train_on_all_counts_every_token_but_the_first(tokenizer):
    template = with_template(tokenizer, SMOLLM2)
    example = encode(template.tokenizer, render(template, TALK), 10_000, train_on="all")[0]
    assert list(example.labels) == [IGNORED, *example.input_ids[1:]]


def test_plain_text_is_trained_whole_with_one_end(tokenizer):
    once, twice = encode_text(tokenizer, ["Some words.", "Some words.<|im_end|>"], 100)
    assert list(once.input_ids) == list(twice.input_ids)
    assert once.input_ids[-1] == tokenizer.eos_token_id
    assert once.trained == len(once.input_ids) - 1


# --- Formats -----------------------------------------------------------------------------------

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


def test_smollm2_text_is_exactly_what_its_template_writes(tokenizer):
    text = render(with_template(tokenizer, SMOLLM2), TALK)[0].text
    assert text.startswith("<|im_start|>system\nYou are a helpful AI assistant named SmolLM")
    assert json.dumps(ANSWERS[1], ensure_ascii=False)[1:-1] + "<|im_end|>\n" in text


@settings(max_examples=300)
@given(
    st.text(alphabet="ab é\n中🙂<|im_end|>", max_size=40),
    st.lists(st.integers(0, 40), min_size=2, max_size=6, unique=True),
)
def test_the_tokens_of_a_span_are_those_that_begin_in_it(tokenizer, text, places):
    cuts = sorted(min(place, len(text)) for place in places)
    spans = [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=False) if a < b]
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    found = masking._inside(encoded.encodings[0], len(encoded["input_ids"]), spans)
    assert found == [
        any(start <= first < end for start, end in spans) for first, _ in encoded["offset_mapping"]
    ]
