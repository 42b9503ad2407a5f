"""What is trained, read back as text, for the templates that models really come with."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.engine import masking
from lora_tui.engine.formats import BadRow
from lora_tui.engine.masking import IGNORED, render, render_plain
from lora_tui.engine.templates import CHATML, ChatTemplate
from tests.engine.conversations import (
    ANSWERS,
    GEMMA,
    LLAMA2,
    LLAMA3,
    MARKED,
    OPENS_THOUGHT,
    SMOLLM2,
    TALK,
    THINKING,
    decode,
    encode,
    labelled,
    trained_text,
    with_template,
)


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
    (example,) = encode(template, TALK)
    assert decode(template.tokenizer, example) == "".join(f"{a}<|im_end|>" for a in ANSWERS)
    assert not template.warnings


def test_markers_without_the_end_of_turn_are_warned_about(tokenizer):
    cut = MARKED.replace(
        " + '<|im_end|>' }}{% endgeneration %}", " }}{% endgeneration %}{{ '<|im_end|>' }}"
    )
    template = with_template(tokenizer, cut)
    encode(template, TALK)
    assert "may not learn to stop" in template.warnings[0]


def test_a_template_that_rewrites_earlier_turns_gives_a_row_for_each_answer(tokenizer):
    template = with_template(tokenizer, THINKING)
    thought = "<think>\n\n</think>\n\n"
    assert trained_text(template, TALK) == [f"{thought}{answer}<|im_end|>" for answer in ANSWERS]
    assert "rewrites earlier turns" in template.warnings[0]


def test_a_template_without_a_system_role_gets_the_text_in_the_first_question(tokenizer):
    template = with_template(tokenizer, GEMMA)
    rendered = render(template, [{"role": "system", "content": "Be brief."}, *TALK], "assistant")
    assert "<start_of_turn>user\nBe brief.\n\nWhat is 2 + 2?" in rendered[0].text
    assert "no system role" in template.warnings[0]


def test_a_row_that_the_template_refuses_is_named(tokenizer):
    with pytest.raises(BadRow, match="must alternate"):
        render(with_template(tokenizer, GEMMA), [TALK[0], TALK[0], TALK[1]], "assistant")


def test_a_template_that_changes_answers_is_refused(tokenizer):
    shouting = CHATML.replace("message['content']", "message['content'] | upper")
    with pytest.raises(BadRow, match="does not show the answer"):
        render(with_template(tokenizer, shouting), TALK, "assistant")


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
    whole = encode(template, TALK)[0]
    cut = encode(template, TALK, 40)[0]
    assert cut.truncated
    assert not whole.truncated
    assert list(cut.input_ids) == list(whole.input_ids)[:40]
    assert encode(template, TALK, 10)[0].trained == 0
    assert cut.trained + cut.lost == whole.trained


def test_train_on_all_counts_every_token_from_the_second_to_the_last_end(tokenizer):
    template = with_template(tokenizer, SMOLLM2)
    example = encode(template, TALK, train_on="all")[0]
    assert list(example.labels) == [IGNORED, *example.input_ids[1:-1], IGNORED]
    assert example.input_ids[-2] == tokenizer.eos_token_id


def test_plain_text_is_trained_whole_with_one_end(tokenizer):
    once, twice = labelled(
        tokenizer, [render_plain("Some words."), render_plain("Some words.<|im_end|>")]
    )
    assert list(once.input_ids) == list(twice.input_ids)
    assert once.input_ids[-1] == tokenizer.eos_token_id
    assert once.trained == len(once.input_ids) - 1


def test_smollm2_text_is_exactly_what_its_template_writes(tokenizer):
    text = render(with_template(tokenizer, SMOLLM2), TALK, "assistant")[0].text
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
    runs = masking._inside(encoded.encodings[0], len(encoded["input_ids"]), tuple(spans))
    found = {token for start, end in runs for token in range(start, end)}
    assert found == {
        token
        for token, (first, _) in enumerate(encoded["offset_mapping"])
        if any(start <= first < end for start, end in spans)
    }
