"""The shape of a model, out of its config.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.estimate import Shape, read_shape
from tests.core.estimates import (
    SMOLLM2,
)

LLAMA = {
    "hidden_act": "silu",
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_hidden_layers": 30,
    "num_key_value_heads": 3,
    "tie_word_embeddings": True,
    "vocab_size": 49_152,
}
GPT2 = {"n_embd": 768, "n_head": 12, "n_inner": None, "n_layer": 12, "vocab_size": 50_257}


def shape_of(folder: Path, config: Any) -> Shape:
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    return read_shape(folder)


def test_configs_of_other_architectures(tmp_path: Path) -> None:
    assert shape_of(tmp_path, LLAMA) == SMOLLM2
    nested = {"model_type": "some_vl", "hidden_size": 9, "text_config": LLAMA}
    assert shape_of(tmp_path, nested) == SMOLLM2
    gpt2 = shape_of(tmp_path, GPT2 | {"activation_function": "gelu_new"})
    assert gpt2 == Shape(12, 768, 3072, 12, 12, 64, 50_257, tied=True, gated=False, silu=False)
    assert shape_of(tmp_path, GPT2 | {"multi_query": True}).kv_heads == 1
    mixture = {"moe_intermediate_size": 768, "num_experts_per_tok": 8, "head_dim": 128}
    found = shape_of(tmp_path, LLAMA | mixture | {"tie_word_embeddings": False})
    assert (found.intermediate, found.head_dim, found.tied) == (8 * 768, 128, False)
    gemma = {**LLAMA, "hidden_act": None, "hidden_activation": "gelu_pytorch_tanh"}
    assert (shape_of(tmp_path, gemma).gated, shape_of(tmp_path, gemma).silu) == (True, False)


@pytest.mark.parametrize("missing", ["hidden_size", "num_attention_heads", "num_hidden_layers"])
@pytest.mark.parametrize("value", [None, "many", 0, True, 2.5])
def test_a_config_without_a_size_says_which(tmp_path: Path, missing: str, value: Any) -> None:
    with pytest.raises(LoraTuiError, match=f"does not say {missing}"):
        shape_of(tmp_path, LLAMA | {missing: value})


@pytest.mark.parametrize("content", ["", "[1]", "3", "null", "[" * 100_000, '{"hidden_size": '])
def test_a_broken_config_is_an_error_in_words(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content, "utf-8")
    with pytest.raises(LoraTuiError, match="cannot be read"):
        read_shape(tmp_path)


def test_no_config_at_all(tmp_path: Path) -> None:
    with pytest.raises(LoraTuiError, match="cannot be read"):
        read_shape(tmp_path)
