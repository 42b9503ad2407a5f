"""A model of SmolLM2-135M's exact shape with random weights, which the benchmarks train and serve.

There is no Hub where they run: speed, memory and sizes are real, what the model says is not.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.tables import own_home
from lora_tui.core import text

VOCABULARY = 49_152
PARAMETERS = 134_515_008
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@contextmanager
def with_model(rows: Path, name: str = "model") -> Iterator[Path]:
    """A folder with such a model in it, and a home of its own."""
    with own_home() as folder:
        build_model(folder / name, rows)
        yield folder


def build_model(folder: Path, rows: Path) -> None:
    """SmolLM2-135M's shape with random weights, and a tokenizer of its size and form."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(rows), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_theta=100_000,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=1 / 24,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    assert model.num_parameters() == PARAMETERS, model.num_parameters()
    model.save_pretrained(folder)


def texts(rows: Path) -> Iterator[str]:
    """Every text in the rows."""
    for line in rows.read_text("utf-8").splitlines():
        yield from (value for value in json.loads(line).values() if isinstance(value, str))


def machine() -> str:
    """Cores and memory, without names."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{cores} {platform.machine()} cores, {text.size(memory)} of memory"
