"""Curves of a run by step, tokens and time, as its events tell them, resumed or not."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import overlay
from lora_tui.core.overlay import AXES, Coursing
from lora_tui.core.runs import Run
from lora_tui.core.series import CAPACITY


def step(number: int, **other: Any) -> dict[str, Any]:
    told = {"step": number, "loss": 3 - number / 10, "tokens": 100 * number, "seconds": number / 2}
    return {"kind": "step", **told, **other}


def course(*told: dict[str, Any]) -> overlay.Course:
    coursing = Coursing()
    coursing.fold({"t": 0.0, **event} for event in told)
    return coursing.course()


def test_each_axis_has_the_same_losses_at_its_own_places() -> None:
    found = course({"kind": "started"}, *map(step, range(1, 4)))
    losses = [2.9, 2.8, 2.7]
    places: list[list[float]] = [[1, 2, 3], [100, 200, 300], [0.5, 1, 1.5]]
    for axis, own in zip(AXES, places, strict=True):
        assert found.points("loss", axis) == tuple(zip(own, losses, strict=True)), axis


def test_what_is_held_out_stands_where_the_step_before_it_stood() -> None:
    evals = [{"kind": "eval", "step": at, "loss": 2 - at} for at in (0, 2)]
    found = course({"kind": "started"}, evals[0], step(1), step(2), evals[1])
    assert found.points("held-out", "step") == ((0, 2), (2, 0))
    assert found.points("held-out", "tokens") == ((0, 2), (200, 0))
    assert found.points("held-out", "seconds") == ((0, 2), (1, 0))


def test_an_axis_that_is_not_reported_is_empty_and_the_others_stand() -> None:
    found = course(*({"kind": "step", "step": at, "loss": 1.0, "seconds": at} for at in (1, 2)))
    assert found.points("loss", "tokens") == ()
    assert found.points("loss", "seconds") == ((1, 1.0), (2, 1.0))


def test_a_resumed_run_measures_again_what_came_after_its_checkpoint() -> None:
    first = [{"kind": "started"}, *map(step, range(1, 9)), {"kind": "eval", "step": 8, "loss": 9.0}]
    again = [{"kind": "started", "resumed_from": 4}, step(5, loss=1.0)]
    found = course(*first, *again)
    assert found.points("loss", "step")[-2:] == ((4, 2.6), (5, 1.0))
    assert found.points("loss", "tokens")[-2:] == ((400, 2.6), (500, 1.0))
    assert found.points("held-out", "step") == ()


def test_a_run_begun_anew_measures_its_base_once() -> None:
    base = {"kind": "eval", "step": 0, "loss": 2.0}
    found = course({"kind": "started"}, base, {"kind": "started"}, base | {"loss": 2.1})
    assert found.points("held-out", "step") == ((0, 2.1),)


@pytest.mark.parametrize("loss", ["nan", "inf", None, "much", [], True])
def test_a_loss_that_is_no_number_leaves_no_point(loss: Any) -> None:
    told = {"kind": "eval", "step": 1, "loss": loss}
    found = course(step(1, loss=loss), step(2), step(3, step="3"), {"kind": "step"}, told)
    assert found.points("loss", "step") == ((2, 2.8),)
    assert found.points("held-out", "step") == ()


def test_a_long_run_keeps_its_buckets_in_step_on_every_axis(tmp_path: Path) -> None:
    run = Run(tmp_path)
    number = 5 * CAPACITY + 3
    run.events.write_text("".join(json.dumps({"t": 0, **step(at)}) + "\n" for at in range(number)))
    found = overlay.read(run)
    by_step, by_tokens = found.points("loss", "step"), found.points("loss", "tokens")
    assert len(by_step) == len(by_tokens) <= CAPACITY
    assert [loss for _, loss in by_step] == [loss for _, loss in by_tokens]
    for (_, loss), (tokens, _) in zip(by_step, by_tokens, strict=True):
        assert loss == pytest.approx(3 - tokens / 1000, abs=1e-6)


def test_nobody_waits_for_a_file_that_is_not_wanted_any_more(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.events.write_text("".join(json.dumps({"t": 0, **step(at)}) + "\n" for at in range(9000)))
    whole = overlay.read(run).points("loss", "step")
    part = overlay.read(run, lambda: True).points("loss", "step")
    assert 0 < part[-1][0] < whole[-1][0]
    assert overlay.read(Run(tmp_path / "gone")).points("loss", "step") == ()
