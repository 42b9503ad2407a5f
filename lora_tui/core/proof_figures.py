"""What a proof's figures are called, in which order they are told, and how each is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from lora_tui.core import text
from lora_tui.core.events import figure
from lora_tui.core.proofs import Proof
from lora_tui.core.text import one_line


class _Figure(NamedTuple):
    """What a figure is called, how it is written, and whether its limit is the least it may be."""

    words: str
    write: Callable[[float | None], str] = text.number
    at_least: bool = False


_FIGURES = {
    "kl": _Figure("KL from torch, nats"),
    "top1": _Figure("same top token", text.share, at_least=True),
    "top1_decided": _Figure("same where torch is sure", text.share, at_least=True),
    "perplexity_ratio": _Figure("perplexity, file to torch"),
    "adapter_share": _Figure("share of the adapter in it", text.share),
    "adapter_error": _Figure("its distance from a full share"),
    "max_logit_difference": _Figure("largest difference of logits"),
    "mean_logit_difference": _Figure("mean difference of logits"),
    "greedy_equal_share": _Figure("equal greedy tokens", text.share, at_least=True),
    "token_ids_equal": _Figure("token ids equal"),
    "template_equal": _Figure("chat template equal"),
    "stops": _Figure("stops at its turn's end"),
    "answers_equal": _Figure("equal answers"),
    "perplexity": _Figure("perplexity, file"),
    "perplexity_of_torch": _Figure("perplexity, torch"),
    "kl_error": _Figure("KL, standard error"),
    "kl_99_9": _Figure("KL, 99.9th percentile"),
    "kl_max": _Figure("KL, largest"),
    "kl_from_base": _Figure("KL by the adapter, nats"),
    "power": _Figure("that over the file's own KL"),
    "nan": _Figure("places with NaN"),
    "positions": _Figure("places measured"),
    "decided": _Figure("places where torch is sure"),
    "rows": _Figure("rows measured on"),
    "seconds": _Figure("seconds it took to prove"),
}
"""The figures in the order they are told; others follow by their own names."""


@dataclass(frozen=True, slots=True)
class Told:
    """A figure in words: what it is, how large, the limit it was held to, and whether it held.

    `beside` are the same figure of other files, as that of f16.
    """

    words: str
    said: str
    limit: str = ""
    is_good: bool = True
    beside: str = ""


def figures(proof: Proof) -> list[Told]:
    """All that are numbers, or yes or no."""
    names = [name for name in _FIGURES if name in proof.figures]
    names += [name for name in proof.figures if name not in _FIGURES]
    return [told for name in names if (told := _told(proof, name))]


def _told(proof: Proof, name: str) -> Told | None:
    look = _FIGURES.get(name, _Figure(one_line(name.replace("_", " "))))
    said = _said(look, proof.figures[name])
    if said is None:
        return None
    limit, is_good = "", proof.figures[name] is not False
    if (bound := figure(proof.limit.get(name))) is not None:
        number = figure(proof.figures[name]) or 0.0
        is_good = number >= bound if look.at_least else number <= bound
        limit = f"at {'least' if look.at_least else 'most'} {look.write(bound)}"
    others = ((one, value) for one, value in proof.figures.items() if isinstance(value, Mapping))
    beside = [f"{one} {words}" for one, value in others if (words := _said(look, value.get(name)))]
    return Told(look.words, said, limit, is_good, one_line(", ".join(beside)))


def _said(look: _Figure, value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = figure(value)
    if number is None:
        return None
    return look.write(value if isinstance(value, int) else number)


def in_short(proof: Proof) -> str:
    """The figures that say most, in a few words: `KL 1.0e-4, top-1 99.1 %`."""
    kl, top = figure(proof.figures.get("kl")), figure(proof.figures.get("top1"))
    parts = [f"KL {text.number(kl)}"] if kl is not None else []
    return ", ".join([*parts, f"top-1 {text.share(top)}"] if top is not None else parts)
