"""What llama.cpp's converter makes of a model's tensors: their names and shapes, before it runs.

Only what decides a tensor's type and size is known here (llama.cpp, gguf-py/gguf/tensor_mapping.py
and conversion/base.py); what is not known is a tensor of no special kind.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_tui.core.safetensors import Tensor

_BLOCK = re.compile(r"(?:^|\.)(?:layers|layer|h|blocks|block)\.(\d+)\.(.+)$")
_EXPERT = re.compile(r"(?:^|\.)experts\.\d+\.")
_NOT_TEXT = re.compile(r"(^|\.)(vit|vpm|mlp1|merger|resampler)\.|visual\.|vision|audio|projector\.")
_KEPT = re.compile(  # stays as the converter wrote it: src/llama-quant.cpp
    r"_norm\.weight|ffn_gate_inp\.weight|position_embd|token_types|ssm_conv1d|shortconv\.conv|"
    r"attn_rel_b|(?<!weight)$"
)
_EMBEDDINGS = frozenset({"embed_tokens", "wte", "word_embeddings", "embed_in", "tok_embeddings"})
_HEADS = frozenset({"lm_head", "embed_out", "output"})
_POSITIONS = frozenset({"wpe", "embed_positions"})
_PARTS = {
    **dict.fromkeys(("q_proj", "wq"), "attn_q"),
    **dict.fromkeys(("k_proj", "wk"), "attn_k"),
    **dict.fromkeys(("v_proj", "wv"), "attn_v"),
    **dict.fromkeys(("o_proj", "out_proj", "dense", "wo", "attn.c_proj"), "attn_output"),
    **dict.fromkeys(
        ("qkv_proj", "query_key_value", "c_attn", "Wqkv", "wqkv", "W_pack"), "attn_qkv"
    ),
    **dict.fromkeys(("gate_proj", "w1"), "ffn_gate"),
    **dict.fromkeys(("up_proj", "gate_up_proj", "w3", "fc1", "c_fc", "dense_h_to_4h"), "ffn_up"),
    **dict.fromkeys(("down_proj", "w2", "fc2", "dense_4h_to_h", "mlp.c_proj"), "ffn_down"),
    **dict.fromkeys(("gate", "router"), "ffn_gate_inp"),
}
_TRANSPOSED = frozenset({"c_attn", "c_proj", "c_fc"})  # GPT-2 keeps these as (inputs, outputs)


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of a GGUF file: how long its rows are, and how many it has."""

    name: str
    columns: int
    rows: int

    @property
    def layer(self) -> int:
        """The block it belongs to; -1 outside them."""
        found = re.match(r"blk\.(\d+)\.", self.name)
        return int(found[1]) if found else -1

    @property
    def is_quantised(self) -> bool:
        """Whether llama.cpp changes its type at all."""
        return self.rows > 1 and not _KEPT.search(self.name)


@dataclass(frozen=True, slots=True)
class Facts:
    """What of a model's config.json decides how its tensors are quantised."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int
    vocabulary: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Facts":
        """As config.json says; of a model of several kinds of input, its text part."""
        text = config.get("text_config")
        config = {**config, **text} if isinstance(text, Mapping) else config

        def first(*names: str) -> int:
            found = (config.get(name) for name in names)
            return next((one for one in found if isinstance(one, int) and one > 0), 0)

        heads = first("num_attention_heads", "n_head", "n_heads")
        return cls(
            architecture=str(config.get("model_type") or ""),
            layers=first("num_hidden_layers", "n_layer", "n_layers", "num_layers"),
            heads=heads,
            kv_heads=first("num_key_value_heads", "num_kv_heads", "n_kv_heads") or heads,
            experts=first("num_local_experts", "num_experts", "n_routed_experts"),
            vocabulary=first("vocab_size"),
        )

    @property
    def shared_by(self) -> int:
        """How many heads of attention share a key and a value."""
        return self.heads // self.kv_heads if self.kv_heads else 0

    @property
    def is_70b(self) -> bool:
        """Whether llama.cpp takes it for a model of 70B, which it quantises in a way of its own."""
        if self.layers != 80:
            return False
        return self.heads != self.kv_heads or self.architecture in {"qwen2", "olmo"}


def weights_of(tensors: Iterable[Tensor], config: Mapping[str, Any]) -> list[Weight]:
    """The tensors as the GGUF file will have them, in llama.cpp's order."""
    facts = Facts.of(config)
    found: dict[str, Weight] = {}
    for weight in _named(tensors, facts.architecture):
        before = found.get(weight.name)  # the experts of a layer become one tensor
        found[weight.name] = replace(weight, rows=before.rows + weight.rows) if before else weight
    return sorted(found.values(), key=lambda one: (one.layer, one.name))


def _named(tensors: Iterable[Tensor], architecture: str) -> Iterator[Weight]:
    for tensor in tensors:
        if _NOT_TEXT.search(tensor.name) or not tensor.shape:
            continue
        name = _name(tensor.name)
        if name == "output.weight" and architecture.startswith("gemma"):
            continue  # always the embeddings there
        part = tensor.name.removesuffix(".weight").rpartition(".")[2]
        is_turned = architecture == "gpt2" and part in _TRANSPOSED and len(tensor.shape) == 2
        columns = tensor.shape[0] if is_turned else tensor.shape[-1]
        yield Weight(name, columns, tensor.elements // max(1, columns))


def _name(name: str) -> str:
    block = _BLOCK.search(name)
    stem, _, kind = (block[2] if block else name).rpartition(".")
    if kind not in {"weight", "bias"}:
        stem, kind = f"{stem}.{kind}".lstrip("."), "weight"
    if not block:
        return f"{_outside(stem.rpartition('.')[2])}.{kind}"
    number, inner = block[1], ".".join(stem.split(".")[-2:])
    part = inner.rpartition(".")[2]
    known = _PARTS.get(inner) or _PARTS.get(part)
    if known and "shared_expert" in stem:
        known += "_shexp"
    elif known and (_EXPERT.search(f".{stem}.") or ".experts." in f".{stem}"):
        known += "_exps"
    elif part.endswith("norm") or "norm" in part or part.startswith("ln_"):
        known = f"{part}_norm"
    return f"blk.{number}.{known or stem}.{kind}"


def _outside(part: str) -> str:
    if part in _EMBEDDINGS:
        return "token_embd"
    if part in _HEADS:
        return "output"
    if part in _POSITIONS:
        return "position_embd"
    return "output_norm" if "norm" in part or part == "ln_f" else part
