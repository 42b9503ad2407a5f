"""What an exported file is held to, by its type, and the verdict over what was measured of it.

Mean KL(torch || file), in nats. f32 and f16 as this program promises. The others at about three
times what llama.cpp publishes of Llama-3-8B (tools/perplexity/README.md, with an importance
matrix where a type needs one), which is a model that suffers more than most: Llama-2-7B has 0.0127
in q4_k_m and 0.0021 in q6_k.

Share of equal likeliest tokens, of the places where torch gives its own more than one half: where
it is undecided between several, rounding decides, and the share of a random model says nothing
(0.52 in q4_k_m at a KL of 0.047). Perplexity, the file's over torch's: held to an upper bound
alone, as a coarse type flattens what a model is sure of, and text that is strange to it becomes
likelier. How much of the adapter's change is in the file (`engine.gguf_distance`): 1, give or take
what coarse types lie off.

| type   | published KL | limit | KL, demo | KL, random  | decided | perplexity | adapter     |
|--------|--------------|-------|----------|-------------|---------|------------|-------------|
| f32    | -            | 1e-5  | 3e-8     | 5 to 7e-8   | 1.000   | 1.000      | 1.000       |
| f16    | -            | 1e-5  | 3e-7     | 3 to 6e-7   | 1.000   | 1.000      | 1.000       |
| bf16   | -            | 5e-4  | 2e-5     | 2 to 4e-5   | 1.000   | 1.001      | 0.999       |
| q8_0   | 0.0014       | 0.004 | 0.0004   | 2 to 5e-4   | 1.000   | 1.002      | 1.004       |
| q6_k   | 0.0055       | 0.02  | 0.0022   | 0.001-0.003 | 0.998   | 1.021      | 1.006       |
| q5_k_m | 0.0108       | 0.04  | 0.006    | 0.004-0.012 | 0.998   | 1.023      | 0.992-1.011 |
| q5_0   | 0.0222       | 0.07  | 0.006    | 0.005-0.016 | 0.998   | 1.027      | 0.984-1.009 |
| q4_k_m | 0.0313       | 0.10  | 0.011    | 0.014-0.047 | 0.995   | 1.031      | 0.962-1.003 |
| q4_0   | 0.0719       | 0.22  | 0.016    | 0.023-0.064 | 0.995   | 1.032      | 0.947-0.997 |
| iq4_xs | 0.0363       | 0.11  | 0.017    | 0.018-0.048 | 0.965   | 1.017      | 0.954-1.011 |
| q3_k_m | 0.1019       | 0.31  | 0.032    | 0.031-0.11  | 0.965   | 1.054      | 0.911-1.005 |
| q3_k_s | 0.2282       | 0.68  | 0.066    | 0.056-0.17  | 0.929   | 1.005      | 0.862-0.999 |
| q2_k   | 0.4451       | 1.3   | 0.16     | 0.056-0.37  | 0.892   | 1.072      | 0.761-0.965 |

Measured on the demo's two trained adapters and on random SmolLM2-, Qwen2- and Llama-3-shaped models
of two layers with random adapters, 2,050 places each; the worst, or from the least to the most.
docs/export.md says what each planted fault does to them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lora_tui.core import text
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof

POWER = 10
"""How many times as far as the file is from the tuned model its base has to be."""

LEAST_DECIDED = 100
"""So many places where torch is decided make a share of them a figure."""

_KL = {
    "f32": 1e-5,
    "f16": 1e-5,
    "bf16": 5e-4,
    "q8_0": 4e-3,
    "q6_k": 0.02,
    "q5_k_m": 0.04,
    "q5_k_s": 0.05,
    "q5_1": 0.055,
    "q5_0": 0.07,
    "q4_k_m": 0.10,
    "q4_k_s": 0.13,
    "q4_1": 0.22,
    "q4_0": 0.22,
    "iq4_nl": 0.11,
    "iq4_xs": 0.11,
    "q3_k_l": 0.26,
    "q3_k_m": 0.31,
    "q3_k_s": 0.68,
    "iq3_m": 0.31,
    "iq3_s": 0.33,
    "iq3_xs": 0.42,
    "iq3_xxs": 0.55,
    "q2_k": 1.3,
    "q2_k_s": 1.3,
    "iq2_m": 1.0,
    "iq2_s": 1.3,
    "iq2_xs": 1.6,
    "iq2_xxs": 2.4,
    "iq1_m": 4.2,
    "iq1_s": 6.7,
}
# By the bits in a type's name: decided tokens, perplexity, and the error of the adapter's share.
_BY_BITS = {
    "32": (0.999, 1.002, 0.002),
    "16": (0.995, 1.005, 0.005),
    "8": (0.98, 1.01, 0.02),
    "6": (0.96, 1.05, 0.03),
    "5": (0.94, 1.08, 0.04),
    "4": (0.90, 1.15, 0.06),
    "3": (0.85, 1.8, 0.12),
    "2": (0.65, 3.5, 0.25),
    "1": (0.30, 30.0, 0.5),
}
_AT_LEAST = frozenset({"top1_decided"})
_WORDS = {
    "kl": "Its mean KL from torch is",
    "top1_decided": "The share of equal likeliest tokens, where torch is decided, is",
    "perplexity_ratio": "Its perplexity over torch's is",
    "adapter_error": "The share of the adapter's change that is in it is off by",
}


def limits(quant: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """What a type's figures are held to, by their names: those that say something.

    Args:
        quant: llama.cpp's name of the type, in lower case.
        figures: As they were measured.

    Raises:
        KeyError: it is no type.
    """
    found = {"kl": _KL[quant]}
    bits = next(bits for bits in _BY_BITS if bits in quant)
    decided, found["perplexity_ratio"], error = _BY_BITS[bits]
    if figures.get("decided", 0) >= LEAST_DECIDED:
        found["top1_decided"] = decided
    if "adapter_error" in figures:
        # Noise lies along the adapter's change by up to 0.4 of its own size, measured.
        found["adapter_error"] = max(error, 0.5 / math.sqrt(max(figures["power"], 1e-6)))
    return {name: found[name] for name in _WORDS if name in found and name in figures}


def verdict(quant: str, figures: Mapping[str, Any], faults: Sequence[str]) -> Proof:
    """The proof of a file of a type.

    Args:
        quant: llama.cpp's name of the type, in lower case.
        figures: What was measured.
        faults: What is wrong whatever the figures say, in sentences.
    """
    limit, reasons = limits(quant, figures), list(faults)
    if nan := figures.get("nan"):
        reasons.append(f"Its logits are NaN or infinite at {nan:,} places.")
    for name, bound in limit.items():
        found, is_least = figures[name], name in _AT_LEAST
        if not (found >= bound if is_least else found <= bound):
            reasons.append(
                f"{_WORDS[name]} {text.number(found)}, and {quant} is held to at "
                f"{'least' if is_least else 'most'} {text.number(bound)}."
            )
    if not reasons and "kl" not in figures:
        reasons.append("Nothing was measured.")
    elif not reasons and figures.get("power", POWER) < POWER:
        reason = (
            f"The adapter moved the model by a KL of {text.number(figures['kl_from_base'])}, and "
            f"the file is {text.number(figures['kl'])} off: whether what was learnt is in it "
            f"cannot be told below {POWER} times. Choose a type with more bits, or train longer."
        )
        return Proof(UNKNOWN, dict(figures), limit, (reason,))
    return Proof(FAIL if reasons else PASS, dict(figures), limit, tuple(reasons))


def made_from(proof: Proof, quant: str, source: Proof) -> Proof:
    """A file's proof with the figures of the file it was made from, whose failure is its own too.

    Args:
        proof: The file's.
        quant: The type of what it was made from.
        source: The proof of that.
    """
    figures = {**proof.figures, quant: dict(source.figures)}
    if source.verdict != FAIL:
        return replace(proof, figures=figures)
    why = f"It was made from the conversion to {quant}, which failed: {' '.join(source.reasons)}"
    return replace(proof, verdict=FAIL, figures=figures, reasons=(*proof.reasons, why))
