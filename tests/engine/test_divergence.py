"""Runs that are lost are told from those that are only noisy."""

import math
import random

import pytest

from lora_tui.engine.divergence import PATIENCE, QUICK, WINDOW, Diverged, DivergenceGuard

VOCABULARY = 49_152
GUESSING = math.log(VOCABULARY)


def watch(losses, guard=None, trained=1):
    """The step at which a guard gives up, or None."""
    guard = guard or DivergenceGuard(VOCABULARY)
    for step, loss in enumerate(losses, 1):
        try:
            guard.watch(step, loss, trained)
        except Diverged:
            return step
    return None


def watch_norms(norms):
    """The same of gradients."""
    guard = DivergenceGuard(VOCABULARY)
    for step, norm in enumerate(norms, 1):
        try:
            guard.watch_norm(step, norm)
        except Diverged:
            return step
    return None


def falling(steps, chance, last=0.8):
    """A loss as training makes it: from 2 downwards, noisy as of a row at a time."""
    return [
        (last + (2 - last) * math.exp(-step / 200)) * chance.lognormvariate(0, 0.35)
        for step in range(steps)
    ]


CALM = falling(60, random.Random(3))


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        ("NaN", [math.nan]),
        ("infinite", [math.inf]),
        ("infinite downwards", [-math.inf]),
        ("beyond guessing", [15.0, 40.0, 900.0]),
        ("nothing left", [0.0] * QUICK),
    ],
)
@pytest.mark.parametrize("before", [1, 5, 60])
def test_planted_divergences_are_caught_within_three_steps(name, planted, before):
    found = watch([*CALM[:before], *planted, *[1.0] * 5])
    assert found == before + len(planted), name


@pytest.mark.parametrize("planted", [[GUESSING] * QUICK, [8.2, 9.5, 11.0]])
@pytest.mark.parametrize("before", [10, 60])
def test_a_model_that_falls_back_to_guessing_is_caught_within_three_steps(planted, before):
    """Not before ten figures: over a few short answers a row may be lucky, or not."""
    assert watch([*CALM[:before], *planted, *[1.0] * 5]) == before + QUICK
    assert watch([4.0, 9.0, 8.5, 9.2, *[2.0] * 20], DivergenceGuard(32_000)) is None
    assert watch([*[1.0] * 5, *[9.0] * 3, *[1.0] * 9]) is None
    assert watch([5.6] * 12 + [11.5] * 3 + [5.6] * 9) is None  # which never knew much
    small = [2.3] * 12 + [4.3] * 3 + [2.3] * 9
    assert watch(small, DivergenceGuard(256)) is None
    assert watch([2.3] * 12 + [5.0] * PATIENCE, DivergenceGuard(256)) == 12 + PATIENCE


def test_planted_gradients_are_caught_within_three_steps():
    calm = [0.5 + 0.01 * step for step in range(20)]
    assert watch_norms([*calm, math.nan]) == watch_norms([*calm, math.inf]) == 21
    assert watch_norms([*calm, 1e4, 1e5, 1e6]) == 23
    assert watch_norms([*calm, 1e4, 1.0, 1e4, 1e4, 1.0]) is None  # a spike, and two
    assert watch_norms([1e-9] * 12 + [2.0] * 3) is None
    assert watch_norms([0.0] * QUICK) == QUICK
    assert watch_norms([*calm, 0.0, 0.0, 0.5, 0.0, 0.0]) is None
    assert watch_norms([0.0009] * 19 + [1.2] * 9) is None  # rows known by heart meet others


def test_steps_that_train_no_token_are_caught_by_their_name():
    """A loss over no token is NaN."""
    guard = DivergenceGuard(VOCABULARY)
    assert watch([1.0] * 3, guard) is None and watch([math.nan] * 2, guard, trained=0) is None
    with pytest.raises(Diverged, match="No token was trained for 3 steps"):
        guard.watch(6, math.nan, 0)


def test_rows_known_by_heart_may_have_no_loss_at_all():
    assert watch([*CALM, 0.05, 0.01, *[0.0] * 200]) is None
    assert watch([0.0] * 9) == QUICK
    guard = DivergenceGuard(VOCABULARY)
    for step in range(1, 9):  # and no gradient either
        guard.watch(step, 0.05)
        guard.watch_norm(step, 0.0)


def test_a_slow_rise_is_caught_within_ten_steps():
    assert watch([1.0] * WINDOW + [2.1] * PATIENCE) == WINDOW + PATIENCE
    assert watch([1.0] * WINDOW + ([2.1] * (PATIENCE - 1) + [1.9]) * 3) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_normal_run_of_two_thousand_steps_raises_no_alarm(seed):
    chance = random.Random(seed)
    assert watch(falling(2000, chance)) is None
    assert watch(falling(2000, chance, last=0.01)) is None  # rows known by heart
    norms = [chance.lognormvariate(0, 0.8) for _ in range(2000)]
    assert watch_norms(norms) is None


def test_what_never_knew_anything_may_guess():
    """A model with random weights, and one whose vocabulary nobody knows."""
    assert watch([GUESSING] * 100) is None
    odd = [14.0, 12.8, 11.7, 12.7, 11.9, 10.0, 8.0]  # rows that the base finds odder than chance
    assert watch(odd, DivergenceGuard(4096)) is None
    assert watch([14.0, 12.8, 17.0, 20.0, 18.0, 9.0], DivergenceGuard(4096)) == 5
    assert watch([0.1] * 20 + [9.0] * 29, DivergenceGuard()) is None
    assert watch([0.005] * WINDOW + [0.02] * 30) is None


def test_a_guard_goes_on_from_a_checkpoint():
    """At every place, with the same verdict as one that saw all."""
    planted = [*CALM, *[GUESSING] * QUICK]
    for cut in (1, 20, len(CALM) + 1, len(CALM) + 2):
        first = DivergenceGuard(VOCABULARY)
        assert watch(planted[:cut], first) is None
        assert watch(planted[cut:], DivergenceGuard(VOCABULARY, first.state)) == len(planted) - cut
