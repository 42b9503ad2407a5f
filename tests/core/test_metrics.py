"""Events folded into snapshots."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import plain
from lora_tui.core.events import finite
from lora_tui.core.metrics import History, Snapshot


def step(number: int, **fields: Any) -> dict[str, Any]:
    known = {"loss": 2.0, "tokens": number * 100, "seconds": number * 0.5, "t": 1000.0 + number}
    return {"kind": "step", "step": number, **known, **fields}


def fold(*events: dict[str, Any]) -> Snapshot:
    history = History()
    history.fold(events)
    return history.snapshot()


LAUNCH = {"kind": "launched", "t": 1000.0, "pid": 1}


def test_a_clock_that_is_set_back_takes_no_time_away() -> None:
    snapshot = fold(LAUNCH, step(1), step(2, t=400.0), step(3, t=401.0))
    assert snapshot.step == 3 and snapshot.elapsed == 0.0 and snapshot.seconds_per_step == 0.5
    assert [number for number, _ in snapshot.curves["loss"]] == [1, 2, 3]
    ended = fold(LAUNCH, step(1), {"kind": "finished", "t": 10.0, "step": 1})
    assert ended.telling == "finished" and ended.elapsed == 0.0


def test_a_run_from_launch_to_end() -> None:
    snapshot = fold(
        LAUNCH,
        {"kind": "started", "t": 1001.0, "backend": "unsloth"},
        {"kind": "model", "t": 1002.0, "trainable_parameters": 10, "total_parameters": 100},
        {"kind": "data", "t": 1002.0, "max_steps": 4},
        {"kind": "eval", "t": 1003.0, "step": 0, "loss": 3.0, "scores": {"manner": 0.0}},
        *(
            step(number, loss=4.0 - number, learning_rate=1e-4, memory_bytes=number)
            for number in (1, 2, 3, 4)
        ),
        {"kind": "eval", "t": 1010.0, "step": 4, "loss": 1.0, "scores": {"manner": 0.9}},
        {"kind": "finished", "t": 1011.0, "step": 4, "adapter_bytes": 7},
    )
    assert (snapshot.step, snapshot.max_steps, snapshot.telling) == (4, 4, "finished")
    assert (snapshot.loss_first, snapshot.loss, snapshot.loss_min) == (3.0, 0.0, 0.0)
    assert (
        snapshot.eval_first,
        snapshot.eval_loss,
        snapshot.eval_best,
        snapshot.eval_best_step,
    ) == (3.0, 1.0, 1.0, 4)
    assert snapshot.scores == {"manner": (0.0, 0.9)}
    assert (snapshot.seconds_per_step, snapshot.tokens_per_second) == (0.5, 200.0)
    assert snapshot.memory_bytes == 4 and snapshot.elapsed == 11.0 and snapshot.seconds_left is None
    assert snapshot.final and snapshot.final["adapter_bytes"] == 7
    assert [value for _, value in snapshot.curves["speed"]] == [200.0] * 3


def test_time_left_follows_the_present_speed() -> None:
    snapshot = fold(
        LAUNCH, {"kind": "data", "max_steps": 10}, *(step(number) for number in (1, 2, 3))
    )
    assert snapshot.seconds_left == pytest.approx(3.5)


def test_what_is_absent_is_none_and_what_is_odd_is_counted() -> None:
    snapshot = fold(
        LAUNCH,
        step(1, loss="nan", grad_norm="inf"),
        {"kind": "step", "loss": 1.0},
        step(2, loss="x"),
    )
    assert snapshot.loss is not None and math.isnan(snapshot.loss)
    assert (snapshot.odd_losses, snapshot.memory_bytes, snapshot.max_steps) == (1, None, None)
    assert snapshot.step == 2 and snapshot.curves["loss"] == ()
    assert fold() == Snapshot(curves=fold().curves)


def test_a_resumed_run_replaces_what_it_repeats() -> None:
    history = History()
    history.fold([LAUNCH, *(step(number, loss=10.0 - number) for number in range(1, 9))])
    history.fold([{"kind": "launched", "t": 2000.0}])
    assert history.snapshot().final is None and history.snapshot().telling == "launched"
    history.fold([{"kind": "started", "t": 2001.0, "resumed_from": 4}])
    assert history.snapshot().step == 4
    history.fold([step(5, loss=5.0, seconds=2.5, tokens=500)])
    assert [number for number, _ in history.snapshot().curves["loss"]] == [1, 2, 3, 4, 5]


def test_time_between_two_launches_does_not_count() -> None:
    snapshot = fold(
        {"kind": "launched", "t": 100.0},
        step(1, t=160.0),
        {"kind": "launched", "t": 9000.0},
        {"kind": "stopped", "t": 9010.0},
    )
    assert snapshot.elapsed == 70.0


def test_what_a_paused_run_waited_is_no_work() -> None:
    events = [
        LAUNCH,
        step(1, t=1010.0),
        {"kind": "paused", "step": 1, "t": 1010.0},
        {"kind": "resumed", "step": 1, "t": 1310.0, "waited": 300.0},
        step(2, t=1320.0),
    ]
    assert fold(*events[:3]).elapsed == 10.0
    assert fold(*events).elapsed == 20.0
    stopping = {"kind": "stopping", "t": 1305.0}
    assert fold(*events[:3], stopping).elapsed == 10.0
    resumed = {"kind": "resumed", "step": 1, "t": 1310.0, "waited": 300.0}
    ended = fold(*events[:3], stopping, resumed, {"kind": "stopped", "t": 1311.0})
    assert ended.elapsed == 11.0
    killed = fold(*events[:3], stopping, {"kind": "launched", "t": 3000.0}, step(2, t=3005.0))
    assert killed.elapsed == 15.0
    again = {"kind": "launched", "t": 2000.0, "pid": 2}
    assert fold(*events, again, step(3, t=2005.0)).elapsed == 25.0


def test_a_run_that_begins_again_forgets_everything() -> None:
    history = History()
    history.fold([LAUNCH, {"kind": "started"}, {"kind": "eval", "step": 0, "loss": 9.0}])
    history.fold([step(number, loss=4.0) for number in range(1, 6)])
    history.fold([LAUNCH, {"kind": "started"}, step(1, loss=8.0)])
    snapshot = history.snapshot()
    assert (snapshot.step, snapshot.curves["loss"], snapshot.evals) == (1, ((1, 8.0),), ())
    assert snapshot.loss_min == 8.0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    "t",
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "tokens",
    "trained_tokens",
    "seconds",
    "memory_bytes",
    "max_steps",
    "scores",
    "resumed_from",
    "kept",
    "read",
    "dropped",
    "text",
    "summary",
    "hint",
    "trainable_parameters",
    "total_parameters",
]
KINDS = [
    "launched",
    "started",
    "model",
    "data",
    "step",
    "eval",
    "checkpoint",
    "sample",
    "warning",
    "stopping",
    "paused",
    "resumed",
    "stopped",
    "finished",
    "failed",
]


@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(FIELDS), ANYTHING)),
        max_size=12,
    )
)
def test_no_event_however_odd_brings_a_reader_down(
    found: list[tuple[str, dict[str, Any]]],
) -> None:
    odd = [{**fields, "kind": kind} for kind, fields in found]
    snapshot = fold(*odd)
    assert isinstance(snapshot.step, int)
    for event in odd:
        plain.line(event, snapshot.max_steps)
    json.dumps(finite(dict(snapshot.scores)), allow_nan=False)


def test_garbage_fields_do_no_harm() -> None:
    snapshot = fold(
        {"kind": "eval", "step": "x", "loss": {}},
        {"kind": "eval", "step": 1, "loss": 1.0, "scores": [1]},
        {"kind": "warning"},
        {"kind": "sample", "text": 7},
        {"kind": "unheard-of", "max_steps": "many"},
        {"kind": "model", "name": None},
    )
    assert snapshot.eval_loss == 1.0 and snapshot.warnings == ("",) and len(snapshot.samples) == 1
