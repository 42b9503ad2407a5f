"""The verdict over a proof's figures: each limit by itself, all reasons, what cannot be told."""

from itertools import pairwise

import pytest

from lora_tui.core import export_limits
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof
from lora_tui.core.quantisation import QUANTS

GOOD = {
    "kl": 0.01,
    "kl_from_base": 2.0,
    "power": 200.0,
    "adapter_share": 0.98,
    "adapter_error": 0.02,
    "top1": 0.93,
    "top1_decided": 0.99,
    "decided": 1500,
    "perplexity_ratio": 1.03,
    "nan": 0,
    "positions": 2048,
}


def verdict(quant="q4_k_m", faults=(), **changes) -> Proof:
    figures = {**GOOD, **changes}
    return export_limits.verdict(
        quant, {name: value for name, value in figures.items() if value is not None}, faults
    )


def test_every_type_that_is_offered_has_limits_and_finer_types_have_closer_ones():
    limits = {quant: export_limits.limits(quant, GOOD) for quant in QUANTS}
    assert all(
        set(one) == {"kl", "top1_decided", "perplexity_ratio", "adapter_error"}
        for one in limits.values()
    )
    coarser = ("f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q3_k_m", "q2_k", "iq1_s")
    for finer, coarse in pairwise(coarser):
        assert limits[finer]["kl"] < limits[coarse]["kl"]
        assert limits[finer]["top1_decided"] > limits[coarse]["top1_decided"]
        assert limits[finer]["perplexity_ratio"] < limits[coarse]["perplexity_ratio"]
    assert limits["f32"]["kl"] == limits["f16"]["kl"] == 1e-5
    assert limits["q8_0"]["kl"] > 0.00136  # which llama.cpp publishes of Llama-3-8B


def test_what_keeps_to_its_limits_passes_and_shows_them():
    proof = verdict()
    assert (proof.verdict, proof.reasons) == (PASS, ())
    assert proof.limit["kl"] == 0.1 and proof.figures["top1"] == 0.93
    assert Proof.from_document(proof.document()) == proof


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kl": 0.11}, "mean KL from torch is 0.110, and q4_k_m is held to at most 0.100"),
        ({"top1_decided": 0.89}, "where torch is decided, is 0.890"),
        ({"perplexity_ratio": 1.2}, "perplexity over torch's is 1.200"),
        ({"adapter_error": 0.2}, "adapter's change that is in it is off by 0.200"),
        ({"nan": 3}, "NaN or infinite at 3 places"),
        ({"kl": float("nan")}, "mean KL from torch is NaN"),
        ({"faults": ["It carries no chat template."]}, "It carries no chat template."),
    ],
)
def test_one_figure_beyond_its_limit_fails_with_its_reason(change, words):
    proof = verdict(**change)
    assert proof.verdict == FAIL and proof.passed is False
    assert len(proof.reasons) == 1 and words in proof.reasons[0]


def test_all_reasons_are_told():
    proof = verdict(kl=1.0, perplexity_ratio=2.0, power=1.0, faults=["One.", "Two."])
    assert proof.reasons[:2] == ("One.", "Two.") and len(proof.reasons) == 4


def test_what_is_made_of_a_conversion_that_failed_fails_too_whatever_its_own_figures():
    """As of a layer that lost its update: less than the noise of a coarse type hides."""
    good, bad = verdict(), verdict("f16", kl=0.0009, perplexity_ratio=1.0)
    kept = export_limits.made_from(good, "f16", good)
    assert kept.verdict == PASS and kept.figures["f16"] == dict(good.figures)
    lost = export_limits.made_from(good, "f16", bad)
    assert lost.verdict == FAIL and lost.figures["kl"] == good.figures["kl"]
    assert len(lost.reasons) == 1
    assert lost.reasons[0].startswith("It was made from the conversion to f16, which failed: Its")


def test_a_finer_type_is_held_to_more():
    assert verdict("q4_k_m", kl=0.0009).verdict == PASS
    assert verdict("q8_0", kl=0.0009, perplexity_ratio=1.0).verdict == PASS
    assert verdict("f16", kl=0.0009, perplexity_ratio=1.0, adapter_error=0.0).verdict == FAIL


def test_where_the_adapter_is_less_than_the_noise_nothing_can_be_told():
    proof = verdict(kl=0.05, kl_from_base=0.2, power=4.0)
    assert proof.verdict == UNKNOWN and proof.passed is None
    assert "moved the model by a KL of 0.200, and the file is 0.0500 off" in proof.reasons[0]
    assert verdict(power=10.0).verdict == PASS


def test_the_less_power_the_more_noise_may_lie_along_the_adapter():
    """Noise as large as the adapter may look like a third of it; a file without it is wrong."""
    assert verdict(kl=0.05, power=1.0, adapter_error=0.3).verdict == UNKNOWN
    assert verdict(kl=0.05, power=1.0, adapter_error=1.0).verdict == FAIL
    assert verdict(kl=0.05, power=1.0, adapter_error=0.9).limit["adapter_error"] == 0.5


def test_a_model_without_a_base_is_held_to_the_rest():
    gone = dict.fromkeys(("kl_from_base", "power", "adapter_share", "adapter_error"))
    proof = verdict(**gone)
    assert proof.verdict == PASS and "adapter_error" not in proof.limit
    assert verdict(kl=0.2, **gone).verdict == FAIL


def test_a_random_model_that_is_decided_nowhere_is_not_held_to_that():
    proof = verdict(decided=99, top1_decided=0.5, top1=0.5)
    assert proof.verdict == PASS and "top1_decided" not in proof.limit
    assert verdict(decided=100, top1_decided=0.5).verdict == FAIL


def test_where_nothing_was_measured_it_does_not_pass():
    assert export_limits.verdict("f16", {}, ()).verdict == FAIL
    broken = export_limits.verdict("f16", {}, ["llama.cpp says: it is cut off."])
    assert broken.reasons == ("llama.cpp says: it is cut off.",)
