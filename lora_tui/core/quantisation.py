"""The types a model can be exported in, and what llama.cpp will really make of its shapes."""

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import LORA
from lora_tui.core.gguf_tensors import Facts, Weight, weights_of
from lora_tui.core.gguf_types import size_of, types_of
from lora_tui.core.safetensors import Tensor

HELPS, NEEDED = "helps", "needed"


@dataclass(frozen=True, slots=True)
class Quant:
    """One way to write a model.

    Attributes:
        name: llama.cpp's, in lower case.
        number: llama.cpp's `llama_ftype`.
        type: The ggml type that most tensors get.
        about: For whom it is.
        matrix: Whether an importance matrix `HELPS` or is `NEEDED`; else none is used, and the file
            is the one that llama-quantize makes without options.
    """

    name: str
    number: int
    type: str
    about: str
    matrix: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether no weight is put into blocks."""
        return self.type in {"f32", "f16", "bf16"}


_SMALL = "below 4 bits; the matrix comes from the training data"
_TINY = "for large models alone, which lose much by it"

QUANTS = {
    quant.name: quant
    for quant in (
        Quant("f32", 0, "f32", "every bit, twice the size of f16; to convert further"),
        Quant("f16", 1, "f16", "16 bits: as good as the model itself"),
        Quant("bf16", 32, "bf16", "16 bits with the range of 32; for hardware that computes in it"),
        Quant("q8_0", 7, "q8_0", "8 bits: half the size, nearly no loss"),
        Quant("q6_k", 18, "q6_k", "6 bits: little loss"),
        Quant("q5_k_m", 17, "q5_k", "5 bits: some loss"),
        Quant("q5_k_s", 16, "q5_k", "5 bits, a little smaller"),
        Quant("q4_k_m", 15, "q4_k", "4 bits: what most people run"),
        Quant("q4_k_s", 14, "q4_k", "4 bits, a little smaller"),
        Quant("q5_1", 9, "q5_1", "5 bits in an older form; for rows that 256 does not divide"),
        Quant("q5_0", 8, "q5_0", "5 bits in an older form, smaller"),
        Quant("q4_1", 3, "q4_1", "4 bits in an older form"),
        Quant("q4_0", 2, "q4_0", "4 bits in an older form, fast on many CPUs"),
        Quant("iq4_nl", 25, "iq4_nl", "4 bits, uneven steps", HELPS),
        Quant("iq4_xs", 30, "iq4_xs", "4 bits, smaller than q4_k_s", HELPS),
        Quant("q3_k_l", 13, "q3_k", f"3 bits, {_SMALL}", HELPS),
        Quant("q3_k_m", 12, "q3_k", f"3 bits, {_SMALL}", HELPS),
        Quant("q3_k_s", 11, "q3_k", f"3 bits, {_SMALL}", HELPS),
        Quant("iq3_m", 27, "iq3_s", f"3 bits, {_SMALL}", HELPS),
        Quant("iq3_s", 26, "iq3_s", f"3 bits, {_SMALL}", HELPS),
        Quant("iq3_xs", 22, "iq3_s", f"3 bits, {_SMALL}", NEEDED),
        Quant("iq3_xxs", 23, "iq3_xxs", f"3 bits, {_SMALL}", NEEDED),
        Quant("q2_k", 10, "q2_k", f"2 bits, {_TINY}", HELPS),
        Quant("q2_k_s", 21, "q2_k", f"2 bits, {_TINY}", NEEDED),
        Quant("iq2_m", 29, "iq2_s", f"2 bits, {_TINY}", NEEDED),
        Quant("iq2_s", 28, "iq2_xs", f"2 bits, {_TINY}", NEEDED),
        Quant("iq2_xs", 20, "iq2_xs", f"2 bits, {_TINY}", NEEDED),
        Quant("iq2_xxs", 19, "iq2_xxs", f"2 bits, {_TINY}", NEEDED),
        Quant("iq1_m", 31, "iq1_m", f"under 2 bits, {_TINY}", NEEDED),
        Quant("iq1_s", 24, "iq1_s", f"under 2 bits, {_TINY}", NEEDED),
    )
}
"""Every type that is offered, the largest of each kind first."""

_TOKEN_BYTES = 32  # a token and its merge in the file's head, on average
_HEAD_BYTES = 4096  # names, settings, template
_TENSOR_BYTES = 100  # a tensor's entry in the head, and what it is padded with


def unknown(names: Iterable[str]) -> list[str]:
    """A sentence for each name that is no type, with what may be meant."""
    known = [*QUANTS, LORA]
    return [_unknown(name, known) for name in names if name not in known]


def _unknown(name: str, known: list[str]) -> str:
    wanted = name.lower().replace("-", "_")
    near = [one for one in known if one == wanted or one.startswith(f"{wanted}_")]
    near = near or difflib.get_close_matches(wanted, known, n=3)
    hint = f" Did you mean {' or '.join(near)}?" if near else f" There are {', '.join(known)}."
    return f'"{name}" is no type that llama.cpp writes.{hint}'


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a file will be: its size, its tensors by ggml type, and what is odd about it, if so.

    `refused` says why llama.cpp cannot make it of this model's shapes; empty where it can.
    """

    bytes: int | None
    types: Mapping[str, int]
    sentence: str = ""
    refused: str = ""


def plan(
    tensors: Iterable[Tensor], config: Mapping[str, Any], quant: str, *, has_matrix: bool = True
) -> Forecast:
    """What llama.cpp makes of a model, from its safetensors header and config.json.

    Args:
        tensors: The model's, as `core.safetensors.read_model` reads them.
        config: Its config.json.
        quant: A name in `QUANTS`.
        has_matrix: Whether there is data to compute an importance matrix from, where it is used.
    """
    facts, weights, chosen = Facts.of(config), weights_of(tensors, config), QUANTS[quant]
    uses_matrix = bool(has_matrix and chosen.matrix)

    def types(these: list[Weight]) -> list[str]:
        return types_of(these, facts, quant, chosen.type, has_matrix=uses_matrix)

    try:
        got = types(weights)
    except LoraTuiError as error:
        return Forecast(None, {}, refused=f"{error.summary} {error.hint}")
    size = sum(size_of(kind, weight) for kind, weight in zip(got, weights, strict=True))
    head = _HEAD_BYTES + _TENSOR_BYTES * len(weights) + _TOKEN_BYTES * facts.vocabulary
    wanted = types([Weight(one.name, 256, one.rows) for one in weights])
    fallen = [
        (weight, kind)
        for weight, kind, meant in zip(weights, got, wanted, strict=True)
        if kind != meant
    ]
    return Forecast(size + head, dict(Counter(got)), _sentence(quant, weights, fallen))


def plan_adapter(tensors: Sequence[Tensor]) -> Forecast:
    """What becomes of an adapter alone: every number of it is written in 32 bits."""
    size = sum(4 * one.elements + _TENSOR_BYTES for one in tensors)
    return Forecast(size, {"f32": len(tensors)})


def _sentence(quant: str, weights: list[Weight], fallen: list[tuple[Weight, str]]) -> str:
    """Why the file is not what its name says, where that is so of more than a trifle."""
    total = sum(one.columns * one.rows for one in weights if one.is_quantised)
    into: Counter[str] = Counter()
    odd: Counter[int] = Counter()
    for weight, kind in fallen:
        into[kind] += weight.columns * weight.rows
        odd[weight.columns] += weight.columns * weight.rows
    if not fallen or into.total() < total / 20:
        return ""
    part = "most" if into.total() > total / 2 else "part"
    types = [kind for kind, _ in into.most_common()]
    columns = odd.most_common(1)[0][0]
    block = 256 if columns % 32 == 0 else 32
    return (
        f"{part} of {quant} becomes {_listed(types)} here: {columns:,} columns are not divisible "
        f"by {block}"
    )


def _listed(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
