"""What the learning rate will do, told before it does it."""

import math
from dataclasses import replace

import pytest

from lora_tui.core.presets import TrainingSettings
from lora_tui.core.schedule import Schedule, explain


def linear(steps: int, peak: float = 2e-4) -> Schedule:
    return Schedule("linear", peak, 0, steps)


@pytest.mark.xdist_group("engine")  # whose worker has torch anyway
@pytest.mark.parametrize("kind", ["linear", "cosine", "constant", "constant_with_warmup"])
@pytest.mark.parametrize("warmup", [0, 0.1, 7])
def test_the_formula_is_that_of_transformers(kind: str, warmup: float) -> None:
    torch = pytest.importorskip("torch")
    from transformers import get_scheduler

    training = TrainingSettings(lr_scheduler_type=kind, learning_rate=3e-4, warmup_steps=warmup)
    ours = Schedule.of(training, 50)
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=3e-4)
    rising = warmup if warmup >= 1 else math.ceil(50 * warmup)
    theirs = get_scheduler(kind, optimiser, num_warmup_steps=rising, num_training_steps=50)
    for step in range(51):
        assert ours.after(step) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-18)
        optimiser.step()
        theirs.step()


def test_more_steps_on_a_falling_rate_are_told_with_their_jump() -> None:
    assert explain(linear(400), linear(800), 400) == [
        "Steps 401 to 800: linear, from 1.0e-4 to 0.",
        "It jumps from 0 to 1.0e-4 after step 400.",
        "The loss may rise for some steps before it falls further.",
    ]


def test_a_jump_comes_with_the_rate_that_avoids_it() -> None:
    lines = explain(linear(400), linear(800), 200)
    assert lines == [
        "Steps 201 to 800: linear, from 1.5e-4 to 0.",
        "It jumps from 1.0e-4 to 1.5e-4 after step 200.",
        "With training.learning_rate near 1.3e-4 it would hardly jump.",
    ]
    assert math.isclose(linear(800, peak=2e-4 * 2 / 3).after(200), linear(400).after(200))


def test_warming_up_again_is_told_apart() -> None:
    after = Schedule("constant_with_warmup", 1e-4, 20, 50)
    assert explain(linear(40), after, 10) == [
        "Steps 11 to 20: rising, from 5.0e-5 to 1.0e-4.",
        "Steps 21 to 50: constant, at 1.0e-4.",
        "It drops from 1.5e-4 to 5.0e-5 after step 10.",
        "With training.learning_rate near 3.0e-4 it would hardly jump.",
    ]


def test_no_change_is_one_sentence() -> None:
    assert explain(linear(40), linear(40), 10) == [
        "The learning rate goes on as it was, from 1.5e-4 after step 10."
    ]
    constant = Schedule("constant", 1e-4, 0, 40)
    assert explain(constant, replace(constant, steps=60), 40) == [
        "Steps 41 to 60: constant, at 1.0e-4.",
        "It goes on at 1.0e-4 after step 40, without a jump.",
    ]
