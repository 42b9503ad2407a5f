"""Which type llama.cpp gives each tensor of a file: its own rules (src/llama-quant.cpp).

`llama_tensor_get_type` there mixes types by what a tensor does and in which layer it is, and falls
back to another type where a row does not divide into blocks.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.gguf import BLOCKS
from lora_tui.core.gguf_tensors import Facts, Weight

_FALLBACKS = {
    **dict.fromkeys(("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s"), "iq4_nl"),
    **dict.fromkeys(("iq3_xxs", "iq3_s", "iq4_xs"), "iq4_nl"),
    **dict.fromkeys(("q2_k", "q3_k"), "q4_0"),
    "q4_k": "q5_0",
    "q5_k": "q5_1",
    "q6_k": "q8_0",
}
_LOW = frozenset({"iq2_xxs", "iq2_xs", "iq2_s", "iq2_m", "iq1_s", "iq1_m"})
_MID = frozenset({"iq2_s", "iq2_m"})
_EIGHT_EXPERTS = frozenset(
    {"q2_k", "iq3_xs", "iq3_xxs", "q3_k_s", "q3_k_m", "iq4_nl", "q4_k_s", "q4_k_m"}
) | {"iq3_s", "iq3_m", "iq4_xs"}


def size_of(kind: str, weight: Weight) -> int:
    """The bytes of a tensor in a type."""
    block, size = BLOCKS[kind]
    return weight.columns // block * size * weight.rows


def types_of(
    weights: Sequence[Weight], facts: Facts, quant: str, default: str, *, has_matrix: bool
) -> list[str]:
    """The type of each tensor, in order.

    Args:
        weights: All tensors of the file, in llama.cpp's order.
        facts: Of the model.
        quant: What the file is quantised as, as `q4_k_m`.
        default: The type that gives the file its name, as `q4_k`.
        has_matrix: Whether an importance matrix is used.

    Raises:
        LoraTuiError: a row does not divide into blocks, and there is no type to fall back to.
    """
    mix = _Mix(facts, quant, default, has_matrix, is_tied=all(map(_is_no_head, weights)))
    mix.values = sum(_group(weight.name) == "attn_v" for weight in weights)
    return [_type_of(weight, mix) for weight in weights]


def _is_no_head(weight: Weight) -> bool:
    return weight.name != "output.weight"


def _type_of(weight: Weight, mix: "_Mix") -> str:
    if not weight.is_quantised:
        return "f32"
    if mix.default in {"f32", "f16", "bf16"}:
        return mix.default
    chosen = mix.choose(weight)
    if weight.columns % BLOCKS[chosen][0] == 0:
        return chosen
    if chosen not in _FALLBACKS:
        raise LoraTuiError(
            f"{mix.quant} does not fit this model: {weight.columns:,} columns are not divisible "
            f"by {BLOCKS[chosen][0]}.",
            "Export f16, bf16 or f32.",
        )
    chosen = _FALLBACKS[chosen]
    return chosen if weight.columns % BLOCKS[chosen][0] == 0 else "f16"


def _group(name: str) -> str:
    if name == "output.weight":
        return "output"
    if name in {"token_embd.weight", "per_layer_token_embd.weight"}:
        return "token_embd"
    if any(f"{part}.weight" in name for part in ("attn_qkv", "attn_kv_b", "attn_v")):
        return "attn_v"
    for part in ("attn_k", "attn_q", "attn_output"):
        if f"{part}.weight" in name:
            return part
    return next((part for part in ("ffn_up", "ffn_gate", "ffn_down") if part in name), "")


@dataclass(slots=True)
class _Mix:
    """One file's mixture; what was met is counted, as llama.cpp does."""

    facts: Facts
    quant: str
    default: str
    has_matrix: bool
    is_tied: bool
    values: int = 0
    met: Counter[str] = field(default_factory=Counter)

    def choose(self, weight: Weight) -> str:
        """The type before it is known whether the rows divide into its blocks."""
        group = _group(weight.name)
        if group == "output" or (group == "token_embd" and self.is_tied):
            return self._head(weight)
        if group == "token_embd":
            return self._embeddings()
        number = self.met[group]
        self.met[group] += 1
        if self.quant in _LOW:
            return self._low(group, number)
        if group == "attn_v":
            return self._value(number)
        if group in {"attn_k", "attn_q"}:
            return self._key(group)
        if self.facts.experts > 1 and group.startswith("ffn"):
            number = weight.layer
        if group == "ffn_down":
            return self._down(number)
        if group == "attn_output":
            return self._attention_output()
        if group in {"ffn_gate", "ffn_up"} and self.quant == "iq3_xs":
            layers = self.facts.layers
            return "iq3_xxs" if layers // 8 <= number < 7 * layers // 8 else self.default
        return self.default

    def _has_more(self, number: int, layers: int) -> bool:
        eighth = layers // 8
        return number < eighth or number >= 7 * layers // 8 or (number - eighth) % 3 == 2

    @property
    def _is_falcon(self) -> bool:
        return self.facts.architecture == "falcon"

    def _head(self, weight: Weight) -> str:
        if self._is_falcon or weight.columns % BLOCKS[self.default][0]:
            return "q8_0"
        if self.quant in _LOW | {"iq3_xxs"}:
            return "q5_k"
        return "q6_k" if self.default != "q8_0" else "q8_0"

    def _embeddings(self) -> str:
        if self.quant in _LOW - _MID:
            return "q2_k"
        return "iq3_s" if self.quant in _MID | {"iq3_xxs"} else self.default

    def _low(self, group: str, number: int) -> str:
        middle = "iq3_s" if self.quant in _MID else "q2_k"
        experts = self.facts.experts
        if group == "attn_v":
            return "q4_k" if self.facts.shared_by >= 4 or experts >= 4 else middle
        if group == "attn_k" and experts == 8:
            return "q4_k"
        if group == "ffn_down":
            return middle if number < self.facts.layers // 8 else self.default
        if group == "attn_output":
            if experts == 8:
                return "q5_k"
            if self.quant in {"iq1_s", "iq1_m"}:
                return "iq2_xxs"
            return "iq3_s" if self.quant in _MID else self.default
        return self.default

    def _value(self, number: int) -> str:
        chosen = self._value_alone(number)
        if self.facts.is_70b and chosen in {"q3_k", "q4_k"}:
            chosen = "q5_k"
        return "q8_0" if self.facts.experts == 8 else chosen

    def _value_alone(self, number: int) -> str:
        quant, is_shared = self.quant, self.facts.shared_by >= 4
        if quant == "q2_k":
            return "q4_k" if is_shared else "q3_k"
        if quant == "iq3_xxs":
            return "q4_k" if is_shared else "iq3_xxs" if self.has_matrix else "iq3_s"
        if is_shared and quant in {"q2_k_s", "iq3_xs", "iq3_s"}:
            return "q4_k"
        if is_shared and quant in {"iq4_nl", "iq4_xs"}:
            return "q5_k"
        if quant in {"q4_k_m", "q5_k_m"} and self._has_more(number, self.values):
            return "q6_k"
        firsts = {"q3_k_m": ("q5_k", 2, "q4_k"), "q4_k_s": ("q5_k", 4, self.default)}
        if quant in firsts:
            first, many, rest = firsts[quant]
            return first if number < many else rest
        return {"iq3_m": "q4_k", "q3_k_l": "q5_k"}.get(quant, self.default)

    def _key(self, group: str) -> str:
        if group == "attn_k" and self.facts.experts == 8:
            return "q8_0"
        return {"iq3_xs": "iq3_xxs", "iq3_xxs": "iq2_s"}.get(self.quant, self.default)

    def _down(self, number: int) -> str:
        quant, layers, default = self.quant, self.facts.layers, self.default
        is_early, has_more = number < layers // 8, self._has_more(number, layers)
        if quant == "q2_k":
            return "q3_k"
        if quant == "q3_k_l":
            return "q4_k" if self._is_falcon else "q5_k"
        if quant == "q3_k_m":
            if number < layers // 16:
                return "q5_k"
            return "q4_k" if not self._is_falcon or has_more else "q3_k"
        if quant == "iq3_xxs" and not self.has_matrix:
            return "q4_k" if is_early else "q3_k"
        if quant == "iq3_m":
            return "q4_k" if is_early or (self.facts.experts == 8 and has_more) else default
        if quant == "q4_k_m" and self._is_falcon:
            return "q6_k" if number < layers // 16 else "q5_k" if has_more else "q4_k"
        if quant in {"q4_k_m", "q5_k_m"}:
            return "q6_k" if has_more else default
        early = {"q2_k_s": "q4_k", "q4_k_s": default if self._is_falcon else "q5_k"}
        if self.has_matrix:
            early |= {"q4_0": "q4_1", "q5_0": "q5_1"}
        else:
            early |= {"iq4_nl": "q5_k", "iq4_xs": "q5_k"}
        return early.get(quant, default) if is_early else default

    def _attention_output(self) -> str:
        if self._is_falcon:
            return "q4_k" if self.quant == "q3_k_l" else self.default
        if self.facts.experts == 8:
            return "q5_k" if self.quant in _EIGHT_EXPERTS else self.default
        mixed = {"q2_k": "q3_k", "iq3_xxs": "iq3_s", "q3_k_m": "q4_k", "q3_k_l": "q5_k"}
        return {**mixed, "iq3_m": "q4_k"}.get(self.quant, self.default)
