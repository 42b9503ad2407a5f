"""The largest batch: it fits, and one more does not."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.core.estimate import MOST_ROWS, estimate, largest_batch
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from tests.core.estimates import BASE, CPU, PLATFORMS, SMOLLM2, memory, preset


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
