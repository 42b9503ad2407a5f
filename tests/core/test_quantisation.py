"""The types that are offered, and what is said of a model's shapes before it is converted.

That llama.cpp makes the same of them is tested where llama.cpp is: tests/engine/test_quantiser.py.
"""

import pytest

from lora_tui.core import quantisation
from lora_tui.core.gguf_tensors import weights_of
from lora_tui.core.quantisation import HELPS, NEEDED, QUANTS, plan
from tests.shapes import LLAMA3, SMOLLM2, tensors_of


def test_each_type_is_itself_and_none_is_plain_by_accident():
    assert all(name == one.name == name.lower() for name, one in QUANTS.items())
    assert len({one.number for one in QUANTS.values()}) == len(QUANTS)
    assert [name for name, one in QUANTS.items() if one.is_plain] == ["f32", "f16", "bf16"]
    assert all(one.about for one in QUANTS.values())


def test_a_matrix_is_for_few_bits_only():
    used = {name: one.matrix for name, one in QUANTS.items() if one.matrix}
    assert used["iq2_xxs"] == used["iq1_s"] == used["q2_k_s"] == NEEDED
    assert used["q3_k_m"] == used["q2_k"] == used["iq4_xs"] == HELPS
    assert not {"q4_k_m", "q5_k_m", "q8_0", "q4_0"} & used.keys()


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Q4_K_M", "Did you mean q4_k_m?"),
        ("q4-k-m", "Did you mean q4_k_m?"),
        ("q4_k", "Did you mean q4_k_m or q4_k_s?"),
        ("q8", "Did you mean q8_0?"),
        ("fp16", "f16"),
        ("zzz", "There are f32, f16, bf16, q8_0"),
    ],
)
def test_a_wrong_name_is_told_with_what_may_be_meant(name, meant):
    (said,) = quantisation.unknown(["q8_0", name, "lora"])
    assert f'"{name}"' in said
    assert meant in said


def test_what_smollm2s_columns_do_is_said():
    tensors, config = tensors_of(SMOLLM2), SMOLLM2
    assert plan(tensors, config, "q4_k_m").sentence == (
        "most of q4_k_m becomes q5_0 and q8_0 here: 576 columns are not divisible by 256"
    )
    assert plan(tensors, config, "q4_k_m").types == {
        "q5_0": 166,
        "f32": 61,
        "q4_k": 16,
        "q8_0": 15,
        "q6_k": 14,
    }
    assert all(not plan(tensors, config, name).sentence for name in ("f32", "f16", "q8_0"))


def test_a_model_that_divides_needs_no_word():
    tensors = tensors_of(LLAMA3)
    assert not [name for name in QUANTS if plan(tensors, LLAMA3, name).sentence]


def test_sizes_fall_with_the_bits():
    tensors = tensors_of(LLAMA3)
    order = "f32 f16 q8_0 q6_k q5_k_m q5_k_s q4_k_m q4_k_s q3_k_l q3_k_m q3_k_s q2_k iq2_xxs iq1_s"
    sizes = [plan(tensors, LLAMA3, name).bytes or 0 for name in order.split()]
    assert sizes == sorted(sizes, reverse=True)
    assert plan(tensors, LLAMA3, "bf16").bytes == plan(tensors, LLAMA3, "f16").bytes


def test_a_shape_that_no_block_fits_is_refused_by_name():
    odd = {**SMOLLM2, "hidden_size": 90, "num_attention_heads": 9}
    found = plan(tensors_of(odd), odd, "q4_k_m")
    assert found.bytes is None
    assert "90 columns are not divisible by 32" in found.refused
    assert "Export f16" in found.refused
    assert plan(tensors_of(odd), odd, "f16").bytes


def test_what_is_no_text_is_not_counted():
    names = {one.name for one in weights_of(tensors_of(SMOLLM2), SMOLLM2)}
    more = [one for one in tensors_of(SMOLLM2) if one.name == "model.embed_tokens.weight"]
    more = [type(one)(f"model.visual.{one.name}", one.dtype, one.shape, one.bytes) for one in more]
    assert {one.name for one in weights_of([*tensors_of(SMOLLM2), *more], SMOLLM2)} == names
