"""The tensors of well-known models, by name and shape alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from lora_tui.core.safetensors import Tensor

Config = Mapping[str, Any]


def _llama(*sizes: int) -> Config:
    hidden, inner, layers, heads, kv, vocabulary = sizes
    return {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "vocab_size": vocabulary,
        "tie_word_embeddings": hidden < 3000,
    }


SMOLLM2 = _llama(576, 1536, 30, 9, 3, 49_152)
LLAMA2 = _llama(4096, 11_008, 32, 32, 32, 32_000)
LLAMA3 = _llama(4096, 14_336, 32, 32, 8, 128_256)
LLAMA3_70B = _llama(8192, 28_672, 80, 64, 8, 128_256)
LLAMA32 = _llama(2048, 8192, 16, 32, 8, 128_256)
QWEN2 = {**_llama(896, 4864, 24, 14, 2, 151_936), "model_type": "qwen2"}
QWEN2_72B = {**_llama(8192, 29_568, 80, 64, 8, 152_064), "model_type": "qwen2"}
MIXTRAL = {
    **_llama(1024, 2048, 8, 16, 4, 32_000),
    "model_type": "mixtral",
    "num_local_experts": 8,
    "tie_word_embeddings": False,
}
MOE16 = {**MIXTRAL, "num_local_experts": 16, "num_hidden_layers": 4}


def tensors_of(config: Config) -> list[Tensor]:
    """As the safetensors files of such a model declare them, in bfloat16."""
    return [
        Tensor(name, "BF16", shape, 2 * shape[0] * (shape[1] if len(shape) > 1 else 1))
        for name, shape in _shapes(config)
    ]


def _shapes(config: Config) -> Iterator[tuple[str, tuple[int, ...]]]:
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    keys = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    yield "model.embed_tokens.weight", (config["vocab_size"], hidden)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (config["vocab_size"], hidden)
    yield "model.norm.weight", (hidden,)
    for number in range(config["num_hidden_layers"]):
        layer = f"model.layers.{number}"
        for name, rows in (("q", hidden), ("k", keys), ("v", keys), ("o", hidden)):
            yield f"{layer}.self_attn.{name}_proj.weight", (rows, hidden)
            if config["model_type"] == "qwen2" and name != "o":
                yield f"{layer}.self_attn.{name}_proj.bias", (rows,)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            yield f"{layer}.{norm}.weight", (hidden,)
        if experts := config.get("num_local_experts"):
            moe = f"{layer}.block_sparse_moe"
            yield f"{moe}.gate.weight", (experts, hidden)
            for one in range(experts):
                for name, shape in (("w1", (inner, hidden)), ("w2", (hidden, inner))):
                    yield f"{moe}.experts.{one}.{name}.weight", shape
                yield f"{moe}.experts.{one}.w3.weight", (inner, hidden)
        else:
            yield f"{layer}.mlp.gate_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.up_proj.weight", (inner, hidden)
            yield f"{layer}.mlp.down_proj.weight", (hidden, inner)
