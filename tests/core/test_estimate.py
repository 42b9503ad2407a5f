"""The memory estimate: sizes counted by hand, and how each part reacts."""

from dataclasses import replace
from typing import Any

import pytest

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.estimate import Shape, estimate
from lora_tui.core.platforms import Platform
from tests.core.estimates import (
    BASE,
    CPU,
    GPU,
    LORA_16,
    MATRICES,
    PARAMETERS,
    PLATFORMS,
    SMOLLM2,
    UNSLOTH,
    UNSLOTH_GPU,
    memory,
    preset,
)

# --- Sizes counted by hand ---


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_parts_of_an_adapter_run_of_smollm2(platform: Platform) -> None:
    found = memory(platform)
    assert found.weights == 2 * PARAMETERS
    assert found.adapter == LORA_16 * (4 + 2)  # float32, and autocast's copy
    assert found.gradients == 4 * LORA_16
    assert found.optimiser == 2 * 4 * LORA_16
    assert (found.program == 2 * 32 * 1024**2) == platform.on_gpu  # cuBLAS's workspaces
    assert found.total == sum(found.parts.values())
    assert list(found.parts) == [
        "program", "weights", "adapter", "gradients", "optimiser", "activations", "logits"
    ]  # fmt: skip


def test_what_one_token_keeps_of_an_adapter_run() -> None:
    norms, attention, mlp = 2 * 576 * 4, 2 * (2 * 576 + 2 * 192) + 4 * 9, 2 * 3 * 1536
    inputs = 6 * 576 + 1536
    adapters = 2 * inputs + 7 * 2 * 16
    block = norms + attention + mlp + adapters
    assert memory(GPU).activations == 30 * 256 * block
    dropout = memory(GPU, lora__lora_dropout=0.1).activations
    assert dropout == 30 * 256 * (block + inputs)  # one byte an input: dropped or not


def test_what_one_token_keeps_without_a_gpu() -> None:
    norms, attention, mlp = 2 * 576 * 2, 2 * (2 * 576 + 2 * 192) + 4 * 9, 2 * 2 * 1536
    block = norms + attention + mlp + 7 * 2 * 16
    # Computed again: the activation, and what q, k and v take in, gate and up, and down.
    again = 2 * (1536 + 2 * 576 + 1536)

    def held(kept: int, freed: int = 0) -> int:
        """The half again are holes in the heap."""
        return round(30 * 256 * (1.5 * kept + 0.5 * freed))

    for platform in (CPU, UNSLOTH):
        assert memory(platform).activations == held(block, again)
    # Another gate than SiLU's is kept with all of that.
    other = estimate(preset(), BASE, replace(SMOLLM2, silu=False), CPU, longest=256)
    assert other.activations == held(block + again)
    inputs = 6 * 576 + 1536
    wet: dict[str, Any] = {"lora__lora_dropout": 0.1}
    assert memory(**wet).activations == held(block + inputs, again)
    # PEFT's own layers keep a copy of each input, and the noise in float32.
    outputs = 3 * 576 + 2 * 192 + 2 * 1536
    assert memory(lora__use_dora=True).activations == held(block + 2 * inputs + 4 * outputs)
    own = memory(lora__init_lora_weights="pissa", **wet).activations
    block += norms + 2 * inputs  # the norms take in float32
    assert own == held(block + 4 * inputs)


def test_attention_gives_out_what_is_kept_already() -> None:
    wide = replace(SMOLLM2, head_dim=128)
    given = [replace(at, inputs=1152) if "o_proj" in at.name else at for at in BASE.layers]
    base = replace(BASE, layers=tuple(given))
    of_one, of_both = (
        estimate(preset(lora__target_modules=names), base, wide, CPU, longest=256).activations
        for names in (["v_proj"], ["v_proj", "o_proj"])
    )
    assert of_both - of_one == 1.5 * 30 * 256 * 2 * 16


def test_what_one_token_keeps_of_a_full_run() -> None:
    norms, attention = 2 * 576 * (4 + 4), 2 * (2 * 576 + 2 * 192) + 4 * 9
    mlp, inputs = 2 * 3 * 1536, 2 * (5 * 576 + 1536)
    found = memory(GPU, lora__method="full", training__gradient_accumulation_steps=2)
    assert found.activations == 30 * 256 * (norms + attention + mlp + inputs)
    assert found.weights == 4 * PARAMETERS + 2 * MATRICES
    assert found.gradients == 4 * (PARAMETERS + 49_152 * 576)
    assert found.optimiser == 8 * PARAMETERS and found.adapter == 0
    for dtype in ("auto", "bfloat16"):
        full: dict[str, Any] = {"lora__method": "full", "model__dtype": dtype}
        there, here = memory(GPU, **full), memory(**full)
        again = 30 * 256 * 2 * 1536  # what the gate's activation gives out
        assert here.activations == 1.5 * (there.activations - again)


def test_what_one_token_keeps_where_unsloth_has_kernels_of_its_own() -> None:
    norms, attention, mlp = 2 * 576 * 2, 2 * (2 * 576 + 2 * 192) + 4 * 9, 2 * 2 * 1536
    block = norms + attention + mlp + 2 * 2 * 576 + 7 * 2 * 16
    assert memory(UNSLOTH_GPU).activations == 30 * 256 * block
    dropout = memory(UNSLOTH_GPU, lora__lora_dropout=0.1).activations
    assert dropout == 30 * 256 * (block + 6 * 576 + 1536)


def test_what_one_token_keeps_without_a_gate_or_without_a_cast() -> None:
    plain = replace(SMOLLM2, gated=False)

    def activations(shape: Shape, **values: Any) -> int:
        found = estimate(preset(**values), BASE, shape, GPU, longest=256)
        return found.activations // (30 * 256)

    assert activations(SMOLLM2) - activations(plain) == 2 * 2 * 1536
    full: dict[str, Any] = {"lora__method": "full"}
    assert activations(SMOLLM2, **full) - activations(plain, **full) == 2 * (2 * 1536 + 576)
    cast = activations(SMOLLM2, **full) - 2 * 576 * 4  # norms give out float32
    exact = activations(SMOLLM2, model__dtype="bfloat16", **full) - 2 * 576 * 2
    assert cast - exact == 3 * 2 * 576  # q, k, v share their input, and so do gate and up


def test_logits_are_those_of_the_trained_tokens_up_to_a_chunk() -> None:
    for platform in (CPU, UNSLOTH):
        assert memory(platform, trained=64).logits == 64 * 49_152 * 8
        assert memory(platform, trained=128).logits == (1 << 22) * 8
    assert memory(GPU, trained=128).logits == 128 * 49_152 * 4
    assert memory(GPU, trained=None).logits == 256 * 49_152 * 4
    assert memory(GPU, longest=8192, trained=None).logits == (1 << 26) * 4
    assert memory(UNSLOTH_GPU, longest=8192, trained=None).logits == (5 << 24) * 4
    assert memory(trained=0).logits == 0
    head = 49_152 * 576
    assert memory(GPU, trained=0, lora__method="full").logits == 2 * head  # in bfloat16
    # Its gradient in float32, and what is added to that, in bfloat16.
    assert memory(trained=0, lora__method="full").logits == (2 + 4 + 2) * head


def test_four_bits_take_half_a_byte_and_its_scales() -> None:
    found = memory(GPU, model__load_in_4bit=True).weights
    rest = 2 * (PARAMETERS - MATRICES)
    assert rest + MATRICES // 2 < found < rest + round(0.52 * MATRICES)


# --- How each part reacts ---


@pytest.mark.parametrize(
    ("optim", "moments"),
    [
        ("sgd", 0),
        ("adamw_torch", 8 * LORA_16),
        ("adamw_8bit", round(LORA_16 * 2 * (1 + 4 / 256))),
        ("paged_adamw_8bit", round(LORA_16 * 2 * (1 + 4 / 256))),
        ("adafactor", 30 * 4 * (6 * 576 + 1536 + 576 * 3 + 192 * 2 + 1536 * 2 + 7 * 32)),
    ],
)
def test_the_optimiser_alone_answers_to_its_name(optim: str, moments: int) -> None:
    found = memory(training__optim=optim)
    assert found.optimiser == moments
    assert replace(found, optimiser=0) == replace(memory(), optimiser=0)


def test_checkpointing_keeps_the_inputs_of_layers_and_one_layer() -> None:
    every = memory(GPU).activations
    found = memory(GPU, training__gradient_checkpointing=True)
    assert found.activations == 256 * 30 * 576 * 2 + every // 30
    assert replace(found, activations=every) == memory(GPU)
    on_cpu = memory(training__gradient_checkpointing=True).activations
    block, again = 11_780, 2 * (1536 + 2 * 576 + 1536)
    assert on_cpu == 256 * 30 * (576 * 2 + (block + again) / 4) + 256 * block


def test_dora_keeps_results_and_with_dropout_a_copy_of_the_matrices() -> None:
    outputs = 30 * (3 * 576 + 2 * 192 + 2 * 1536)
    plain = memory(GPU).activations
    assert memory(GPU, lora__use_dora=True).activations == plain + 256 * 4 * outputs
    wet: dict[str, Any] = {"lora__lora_dropout": 0.1}
    both = memory(GPU, lora__use_dora=True, **wet).activations
    assert both == memory(GPU, **wet).activations + 256 * 4 * outputs + 2 * MATRICES


def test_rank_and_targets_change_the_adapter_and_what_it_keeps() -> None:
    wide, narrow = memory(lora__r=64), memory(lora__target_modules=["q_proj", "v_proj"])
    for part in ("adapter", "gradients", "optimiser"):
        assert wide.parts[part] == 4 * memory().parts[part] > narrow.parts[part] > 0
    assert wide.activations > memory().activations > narrow.activations
    assert wide.weights == narrow.weights == memory().weights


def test_the_program_grows_with_the_lengths_it_meets_up_to_a_limit() -> None:
    def program(batches: int, longest: int, **values: Any) -> int:
        values |= {"training__max_steps": batches, "training__gradient_accumulation_steps": 1}
        return memory(longest=longest, **values).program

    # Four shapes there and back; two of A and three of B, trained too; attention's; the loss's.
    one = 4 * 2 + (2 + 3) * 3
    bare = program(1, 2048) - 650_000 * (one + 3 + 2)

    def products(batches: int, longest: int = 2048, **values: Any) -> float:
        return (program(batches, longest, **values) - bare) / 650_000

    assert products(2) == 2 * (one + 3 + 2)
    assert products(9, longest=33) == products(9, longest=64) == 2 * (one + 3) + 9 * 2
    assert products(1000) == products(-1) == 1024
    several: dict[str, Any] = {"training__per_device_train_batch_size": 2}
    assert products(1, **several) == one + 2 * 3 + 2, "two rows of other lengths"
    assert products(9, longest=32, **several) == 2 * one + 3 + 9 * 2, "batches longer than rows"
    padded = several | {"training__padding_free": False}
    assert products(9, longest=2, **padded) == 2 * one + 9 * 2, "batches as long as their longest"
    assert products(-1, longest=2, **padded) == 2 * one + 85 * 2, "as many tokens as a part has"
    assert products(1, lora__method="full") == 4 * 3 + 3 + 3
    assert products(9, model__dtype="float32") == 0


def test_unknown_targets_are_named() -> None:
    with pytest.raises(LoraTuiError, match="c_attn"):
        memory(lora__target_modules=["c_attn"])


def test_formats_decide_the_width_of_weights_and_activations() -> None:
    plain, exact = memory(), memory(model__dtype="float32")
    assert exact.weights == 2 * plain.weights and exact.activations > plain.activations
    assert exact.adapter == 4 * LORA_16  # nothing to cast
    old = Platform("transformers", "cpu", bfloat16=False)
    assert memory(old) == exact
    assert memory(Platform("transformers", "cuda", bfloat16=False)) == memory(GPU)  # float16
    thin = memory(GPU, lora__method="full", model__dtype="bfloat16")
    assert thin.weights == 2 * PARAMETERS and thin.optimiser == 4 * PARAMETERS


def test_gradients_of_one_batch_take_the_room_of_activations() -> None:
    full: dict[str, Any] = {"lora__method": "full", "training__gradient_accumulation_steps": 1}
    whole = 4 * (PARAMETERS + 49_152 * 576)
    for platform in (CPU, GPU):
        short, long = memory(platform, **full), memory(platform, longest=8192, **full)
        assert whole > short.gradients > long.gradients == 0
        several = memory(platform, **(full | {"training__gradient_accumulation_steps": 4}))
        assert several.gradients == whole
    short = memory(GPU, longest=8, **full)
    bare = short.program + 4 * PARAMETERS + short.optimiser
    assert short.total == bare + whole, "what is held at first has gone when the last one comes"


def test_an_own_head_has_no_second_gradient() -> None:
    many = preset(lora__method="full", training__gradient_accumulation_steps=2)
    own = estimate(many, BASE, replace(SMOLLM2, tied=False), CPU, longest=8, trained=8)
    assert own.gradients == 4 * PARAMETERS


def test_padding_costs_a_batch_of_rows_copies_of_the_keys() -> None:
    one, two = memory(GPU), memory(GPU, training__per_device_train_batch_size=2)
    assert two.activations == 2 * (one.activations + 30 * 256 * 2 * 2 * (576 - 192))
    several: dict[str, Any] = {"training__per_device_train_batch_size": 2}
    flat, padded = memory(**several), memory(**several, training__padding_free=False)
    assert flat.activations == 2 * memory().activations
    assert padded.activations - flat.activations == 1.5 * 2 * 30 * 256 * 2 * 2 * (576 - 192)


def test_unsloth_keeps_less_on_a_gpu() -> None:
    for method in ("lora", "full"):
        one, other = (memory(at, lora__method=method) for at in (UNSLOTH_GPU, GPU))
        assert one.activations < other.activations
