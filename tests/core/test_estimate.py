"""The memory estimate: sizes counted by hand, how each part reacts, and the largest batch."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.estimate import MOST_ROWS, Memory, Shape, estimate, largest_batch, read_shape
from lora_tui.core.parameters import Base, Layer
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset

SMOLLM2 = Shape(
    layers=30,
    hidden=576,
    intermediate=1536,
    heads=9,
    kv_heads=3,
    head_dim=64,
    vocabulary=49_152,
    tied=True,
    gated=True,
)
PARAMETERS = 134_515_008
LORA_16 = 4_884_480
PROJECTIONS = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (192, 576),
    "self_attn.v_proj": (192, 576),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (1536, 576),
    "mlp.up_proj": (1536, 576),
    "mlp.down_proj": (576, 1536),
}
MATRICES = 30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576)
BASE = Base(
    path=Path("smollm2"),
    parameters=PARAMETERS,
    bytes=2 * PARAMETERS,
    layers=tuple(
        Layer(f"model.layers.{number}.{name}", outputs, inputs, bias=False)
        for number in range(30)
        for name, (outputs, inputs) in PROJECTIONS.items()
    ),
    biases=0,
)
CPU = Platform("transformers", "cpu", bfloat16=True)
UNSLOTH = Platform("unsloth", "cpu", bfloat16=True)
GPU = Platform("transformers", "cuda", bfloat16=True)
UNSLOTH_GPU = Platform("unsloth", "cuda", bfloat16=True)
PLATFORMS = [CPU, UNSLOTH, GPU, UNSLOTH_GPU]


def preset(**values: Any) -> Preset:
    """A preset by `training__optim="sgd"`; otherwise batch 1, rank 16, no dropout."""
    named = {key.replace("__", "."): value for key, value in values.items()}
    plain = {"training.per_device_train_batch_size": 1, "lora.lora_dropout": 0.0}
    return changed(Preset(), {**plain, **named})


def memory(
    platform: Platform = CPU, *, longest: int = 256, trained: int | None = 128, **values: Any
) -> Memory:
    return estimate(preset(**values), BASE, SMOLLM2, platform, longest=longest, trained=trained)


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
    on_cpu = 30 * 256 * (block + 4 * inputs)  # there the noise is float32
    assert memory(lora__lora_dropout=0.1).activations == round(1.4 * on_cpu)


def test_what_one_token_keeps_of_a_full_run() -> None:
    norms, attention = 2 * 576 * (4 + 4), 2 * (2 * 576 + 2 * 192) + 4 * 9
    mlp, inputs = 2 * 3 * 1536, 2 * (5 * 576 + 1536)
    found = memory(GPU, lora__method="full", training__gradient_accumulation_steps=2)
    assert found.activations == 30 * 256 * (norms + attention + mlp + inputs)
    assert found.weights == 4 * PARAMETERS + 2 * MATRICES
    assert found.gradients == 4 * (PARAMETERS + 49_152 * 576)
    assert found.optimiser == 8 * PARAMETERS and found.adapter == 0


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
    assert memory(trained=128).logits == 128 * 49_152 * 16
    assert memory(trained=None).logits == 256 * 49_152 * 16
    assert memory(longest=4096, trained=None).logits == (1 << 25) * 16
    assert memory(UNSLOTH, trained=128).logits == 128 * 49_152 * 6
    assert memory(UNSLOTH, longest=4096, trained=None).logits == (1 << 24) * 6
    assert memory(GPU, longest=8192, trained=None).logits == (1 << 26) * 4
    assert memory(UNSLOTH_GPU, longest=8192, trained=None).logits == (5 << 24) * 4
    assert memory(trained=0).logits == 0
    head = 49_152 * 576
    assert memory(trained=0, lora__method="full").logits == 2 * head  # in bfloat16
    assert memory(UNSLOTH, trained=0, lora__method="full").logits == (2 + 4) * head


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
    assert on_cpu == found.activations + round(0.4 * every) // 2


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
    def program(batches: int, longest: int = 256, **values: Any) -> int:
        values |= {"training__max_steps": batches, "training__gradient_accumulation_steps": 1}
        return memory(longest=longest, **values).program

    # Four shapes forward and back; two of A and three of B, whose weights are trained too.
    one = 650_000 * (4 * 2 + (2 + 3) * 3)
    bare = program(1) - one
    assert program(2) == program(9, longest=2) == bare + 2 * one
    assert program(1000) == program(-1) == bare + 650_000 * 1024
    assert program(1, lora__method="full") == bare + 650_000 * 4 * 3
    assert program(9, model__dtype="float32") == bare


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


def test_unsloth_keeps_less_on_a_gpu() -> None:
    for method in ("lora", "full"):
        one, other = (memory(at, lora__method=method) for at in (UNSLOTH_GPU, GPU))
        assert one.activations < other.activations


# --- The largest batch ---


def test_the_largest_batch_fits_and_one_more_does_not() -> None:
    for free in (3_000_000_000, 8_000_000_000, 80_000_000_000):
        rows = largest_batch(preset(), BASE, SMOLLM2, CPU, longest=512, free=free)
        assert rows is not None
        fits, over = (
            memory(longest=512, trained=None, training__per_device_train_batch_size=number).total
            for number in (rows, rows + 1)
        )
        assert fits <= free < over


def test_no_batch_fits_or_every_one_does() -> None:
    least = memory(longest=512, trained=None).total

    def largest(free: int) -> int | None:
        return largest_batch(preset(), BASE, SMOLLM2, CPU, longest=512, free=free)

    assert largest(least - 1) is None and largest(0) is None
    assert largest(least) == 1
    assert largest(10**15) == MOST_ROWS


# --- Properties ---

SETTINGS = st.fixed_dictionaries(
    {
        "lora.method": st.sampled_from(["lora", "full"]),
        "lora.r": st.integers(1, 256),
        "lora.lora_dropout": st.sampled_from([0.0, 0.1]),
        "lora.use_dora": st.booleans(),
        "lora.target_modules": st.sampled_from(["all-linear", ["q_proj"], ["down_proj", "v_proj"]]),
        "model.dtype": st.sampled_from(["auto", "bfloat16", "float32"]),
        "data.eval_fraction": st.sampled_from([0.0, 0.1]),
        "training.optim": st.sampled_from(["adamw_torch", "adamw_8bit", "adafactor", "sgd"]),
        "training.gradient_checkpointing": st.booleans(),
        "training.gradient_accumulation_steps": st.integers(1, 4),
        "training.per_device_train_batch_size": st.integers(1, 64),
    }
)


@settings(max_examples=60)
@given(SETTINGS, st.sampled_from(PLATFORMS), st.integers(1, 8192), st.integers(0, 8192))
def test_more_rows_tokens_or_trained_tokens_never_take_less(
    values: dict[str, Any], platform: Platform, longest: int, trained: int
) -> None:
    trained = min(trained, longest)

    def total(longest: int, trained: int | None, **more: Any) -> int:
        run = changed(Preset(), values | more)
        found = estimate(run, BASE, SMOLLM2, platform, longest=longest, trained=trained)
        assert all(part >= 0 for part in found.parts.values())
        assert found.total == sum(found.parts.values())
        return found.total

    rows = values["training.per_device_train_batch_size"]
    here = total(longest, trained)
    assert here <= total(longest + 1, trained)
    assert here <= total(longest, longest) == total(longest, None)
    assert here <= total(longest, trained, **{"training.per_device_train_batch_size": rows + 1})


@settings(max_examples=30)
@given(SETTINGS, st.sampled_from(PLATFORMS), st.integers(1, 4096), st.integers(0, 200))
def test_the_largest_batch_is_the_largest(
    values: dict[str, Any], platform: Platform, longest: int, gigabytes: int
) -> None:
    run, free = changed(Preset(), values), gigabytes * 10**9
    rows = largest_batch(run, BASE, SMOLLM2, platform, longest=longest, free=free)
    more = largest_batch(run, BASE, SMOLLM2, platform, longest=longest, free=2 * free)
    assert (rows or 0) <= (more or 0) <= MOST_ROWS

    def total(rows: int) -> int:
        training = replace(run.training, per_device_train_batch_size=rows)
        larger = replace(run, training=training)
        return estimate(larger, BASE, SMOLLM2, platform, longest=longest).total

    assert rows is None or total(rows) <= free
    assert rows == MOST_ROWS or total((rows or 0) + 1) > free


# --- config.json ---

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
    assert gpt2 == Shape(12, 768, 3072, 12, 12, 64, 50_257, tied=True, gated=False)
    assert shape_of(tmp_path, GPT2 | {"multi_query": True}).kv_heads == 1
    mixture = {"moe_intermediate_size": 768, "num_experts_per_tok": 8, "head_dim": 128}
    found = shape_of(tmp_path, LLAMA | mixture | {"tie_word_embeddings": False})
    assert (found.intermediate, found.head_dim, found.tied) == (8 * 768, 128, False)
    gemma = {**LLAMA, "hidden_act": None, "hidden_activation": "gelu_pytorch_tanh"}
    assert shape_of(tmp_path, gemma).gated


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
