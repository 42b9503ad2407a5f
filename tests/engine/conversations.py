"""Chat templates in the forms that models really come with, and conversations as rows."""

import copy
from typing import Any

from lora_tui.core import preset_files
from lora_tui.engine.masking import (
    IGNORED,
    Example,
    Rendered,
    label,
    render,
    tokenise,
)
from lora_tui.engine.templates import ChatTemplate

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
    own = copy.deepcopy(tokenizer)
    marks = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>")
    own.add_special_tokens({"additional_special_tokens": [*marks, "<end_of_turn>"]})
    own.chat_template = template
    return ChatTemplate(own)


def trained_text(template: ChatTemplate, messages: Any, longest: int = 10_000) -> list[str]:
    """What counts in each row, decoded."""
    examples = encode(template, list(messages), longest)
    return [decode(template.tokenizer, example) for example in examples]


def encode(
    template: ChatTemplate, messages: Any, longest: int = 10_000, train_on: str = "assistant"
) -> list[Example]:
    """The rows that a conversation becomes."""
    return labelled(template.tokenizer, render(template, messages, train_on), longest)


def labelled(tokenizer: Any, rendered: list[Rendered], longest: int = 10_000) -> list[Example]:
    """The rows of texts."""
    encodings = tokenise(tokenizer, rendered)
    end = tokenizer.eos_token_id
    pairs = zip(rendered, encodings, strict=True)
    return [label(text, encoding, longest, end) for text, encoding in pairs]


def decode(tokenizer: Any, example: Any) -> str:
    """The trained tokens as text."""
    return tokenizer.decode([token for token in example.labels if token != IGNORED])


def preset_for(source, *changes):
    """The demo preset on other data."""
    return preset_files.with_settings(
        preset_files.find("demo"),
        [f"data.source={source}", "data.eval_fraction=0", "training.max_steps=-1", *changes],
    )
