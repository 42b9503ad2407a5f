"""Masks of real models' chat templates, token by token, against text put together by hand.

The expectation knows nothing of templates, offsets or spans: it is a list of pieces, each trained
or not, tokenised one by one.
"""

import pytest

from lora_tui.engine.masking import IGNORED
from tests.engine.conversations import GEMMA, LLAMA3, SMOLLM2, THINKING, encode, with_template

MISTRAL = (  # as v0.3's, for conversations without tools
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}{% else %}"
    "{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}"
)
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""

Q1, A1, Q2, A2 = "What is 2 + 2?", "It is four.", "And in Latin?", "Quattuor: über “vier” 🙂."
TALK = [
    {"role": "user", "content": Q1},
    {"role": "assistant", "content": A1},
    {"role": "user", "content": Q2},
    {"role": "assistant", "content": A2},
]
SYSTEM = (
    "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n"
)
L3 = "<|start_header_id|>{}<|end_header_id|>\n\n"
TRAINED, NOT = True, False
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"

FORMS = {
    "smollm2": (
        SMOLLM2,
        [
            [
                (f"{SYSTEM}<|im_start|>user\n{Q1}<|im_end|>\n<|im_start|>assistant\n", NOT),
                (f"{A1}<|im_end|>", TRAINED),
                (f"\n<|im_start|>user\n{Q2}<|im_end|>\n<|im_start|>assistant\n", NOT),
                (f"{A2}<|im_end|>", TRAINED),
                ("\n", NOT),
            ]
        ],
    ),
    "llama3": (
        LLAMA3,
        [
            [
                (f"<|im_start|>{L3.format('user')}{Q1}<|eot_id|>{L3.format('assistant')}", NOT),
                (f"{A1}<|eot_id|>", TRAINED),
                (f"{L3.format('user')}{Q2}<|eot_id|>{L3.format('assistant')}", NOT),
                (f"{A2}<|eot_id|>", TRAINED),
            ]
        ],
    ),
    "mistral": (
        MISTRAL,
        [
            [
                (f"<|im_start|>[INST] {Q1}[/INST]", NOT),
                (f" {A1}<|im_end|>", TRAINED),
                (f"[INST] {Q2}[/INST]", NOT),
                (f" {A2}<|im_end|>", TRAINED),
            ]
        ],
    ),
    "gemma": (
        GEMMA,
        [
            [
                (
                    f"<|im_start|><start_of_turn>user\n{Q1}<end_of_turn>\n<start_of_turn>model\n",
                    NOT,
                ),
                (f"{A1}<end_of_turn>", TRAINED),
                (f"\n<start_of_turn>user\n{Q2}<end_of_turn>\n<start_of_turn>model\n", NOT),
                (f"{A2}<end_of_turn>", TRAINED),
                ("\n", NOT),
            ]
        ],
    ),
    "qwen-thinking": (  # an earlier answer loses its thought, so each is trained as it is asked for
        THINKING,
        [
            [
                (f"<|im_start|>user\n{Q1}<|im_end|>\n<|im_start|>assistant\n", NOT),
                (f"{EMPTY_THOUGHT}{A1}<|im_end|>", TRAINED),
                ("\n", NOT),
            ],
            [
                (
                    f"<|im_start|>user\n{Q1}<|im_end|>\n<|im_start|>assistant\n{A1}<|im_end|>\n"
                    f"<|im_start|>user\n{Q2}<|im_end|>\n<|im_start|>assistant\n",
                    NOT,
                ),
                (f"{EMPTY_THOUGHT}{A2}<|im_end|>", TRAINED),
                ("\n", NOT),
            ],
        ],
    ),
    "zephyr": (
        ZEPHYR,
        [
            [
                (f"<|user|>\n{Q1}<|im_end|>\n<|assistant|>\n", NOT),
                (f"{A1}<|im_end|>", TRAINED),
                (f"\n<|user|>\n{Q2}<|im_end|>\n<|assistant|>\n", NOT),
                (f"{A2}<|im_end|>", TRAINED),
                ("\n", NOT),
            ]
        ],
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_each_token_is_trained_or_not_as_put_together_by_hand(tokenizer, form):
    template, rows = FORMS[form]
    prepared = with_template(tokenizer, template)
    examples = encode(prepared, TALK)
    assert len(examples) == len(rows)
    for example, pieces in zip(examples, rows, strict=True):
        ids, labels = by_hand(prepared.tokenizer, pieces)
        assert list(example.input_ids) == ids
        assert list(example.labels) == labels


@pytest.mark.parametrize("form", FORMS)
def test_only_the_last_answer_counts_when_asked_for(tokenizer, form):
    template, rows = FORMS[form]
    prepared = with_template(tokenizer, template)
    (example,) = encode(prepared, TALK, train_on="last")
    last = [at for at, (_, trained) in enumerate(rows[-1]) if trained][-1]
    pieces = [(text, at == last) for at, (text, _) in enumerate(rows[-1])]
    ids, labels = by_hand(prepared.tokenizer, pieces)
    assert list(example.input_ids) == ids
    assert list(example.labels) == labels


def by_hand(tokenizer, pieces):
    """Token ids and labels of pieces of text."""
    ids: list[int] = []
    labels: list[int] = []
    for text, trained in pieces:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        ids += tokens
        labels += tokens if trained else [IGNORED] * len(tokens)
    return ids, [IGNORED, *labels[1:]]
