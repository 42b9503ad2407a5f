"""The rules: each with facts that call for it, and with facts just beside its threshold."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import presets
from lora_tui.core.advice import RULES, Advice, Known, advice, of_run
from lora_tui.core.metrics import History
from lora_tui.core.preset_files import changed

from .advice_cases import CASES, EPOCH, UP_AT_THE_END
from .advised import (
    A_RANK,
    BILLION,
    PLAIN,
    REPORT,
    SMOLLM,
    falls,
    known,
    learns,
    ran,
    trains,
)

TRIGGERS = [(name, case) for name, (cases, _) in CASES.items() for case in cases]
BESIDE = [(name, case) for name, (_, cases) in CASES.items() for case in cases]

OF_THE_PRESET = {  # what a changed preset alone decides: applied, the remedy silences the rule
    *("rate too low", "rate too high", "rate high for size", "rate may be slow", "attention only"),
    *("large batch", "odd scale", "many epochs"),
}


def by_name(found: Known) -> dict[str, Advice]:
    return {one.rule: one for one in advice(found)}


def test_every_rule_has_a_source_a_condition_and_cases_on_both_sides() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES) == 22
    assert {rule.name for rule in RULES} == set(CASES)
    for rule in RULES:
        assert rule.source and rule.when, rule.name
        assert all(CASES[rule.name]), rule.name
        assert set(rule.unless) <= set(CASES), "a name that no rule has"


@pytest.mark.parametrize(("name", "case"), TRIGGERS)
def test_each_rule_speaks_where_it_should(name: str, case: Known) -> None:
    said = by_name(case)[name]
    assert said.text.endswith(".") and said.source == _rule(name).source
    if said.changes:
        assert changed(case.preset, dict(said.changes)) != case.preset


@pytest.mark.parametrize(("name", "case"), BESIDE)
def test_no_rule_speaks_just_beside_its_threshold(name: str, case: Known) -> None:
    assert name not in by_name(case)


@pytest.mark.parametrize("name", sorted(OF_THE_PRESET))
def test_a_remedy_of_the_preset_silences_its_rule(name: str) -> None:
    for case in CASES[name][0]:
        preset = changed(case.preset, dict(by_name(case)[name].changes))
        after = Known(preset, case.trainable, case.report, case.run)
        assert name not in by_name(after)


def _rule(name: str) -> Any:
    return next(rule for rule in RULES if rule.name == name)


def remedy(name: str, at: int = 0) -> dict[str, Any]:
    return dict(by_name(CASES[name][0][at])[name].changes)


def test_a_run_without_oddities_has_nothing_to_be_advised() -> None:
    assert advice(known()) == []
    run = ran(learns(300), {0: 2.0, 150: 1.01, 300: 1.0}, most=300, final="finished")
    assert advice(known(run=run, trainable=trains(), report=REPORT)) == []
    assert of_run(None, run) == []


def test_a_diverged_run_takes_a_third_of_its_learning_rate_and_stops_next_time() -> None:
    assert remedy("diverged") == {"training.learning_rate": 7e-5}
    assert remedy("diverged", 2)["training.stop_on_divergence"] is True
    failed = ran([2.0])
    nan_gradient = History()
    nan_gradient.fold(
        [
            {"kind": "step", "step": 1, "loss": 2.0, "grad_norm": "nan"},
            {"kind": "failed", "summary": "The gradient became NaN at step 1."},
        ]
    )
    assert "diverged" not in by_name(known(run=failed))
    assert "diverged" in by_name(known(run=nan_gradient.snapshot()))


def test_overfitting_is_ended_early_where_something_can_be_held_out() -> None:
    early = {"training.early_stopping_patience": 2, "training.eval_steps": 30}
    assert remedy("overfitting") == early, "a tenth of 300 steps, as it measured nothing between"
    assert remedy("overfitting", 1) == early, "the demo has held-out rows of its own"
    assert remedy("overfitting", 2) == {"training.max_steps": 50}
    patient = known({**early, "training.eval_steps": 50}, run=ran(falls(150), UP_AT_THE_END))
    assert by_name(patient)["overfitting"].changes == {"training.max_steps": 50}
    assert "since step 50" in by_name(patient)["overfitting"].text


def test_what_does_not_learn_gets_the_likeliest_remedy_there_is_room_for() -> None:
    said = by_name(known(run=ran([1.5] * 50)))["not learning"]
    assert said.changes == {"lora.r": 32, "lora.lora_alpha": 32.0}
    assert "a higher rank first; then a higher learning rate, more steps" in said.text
    full = known({"lora.r": 40}, trainable=trains(r=40), run=ran([1.5] * 50))
    assert by_name(full)["not learning"].changes["lora.r"] == 44, "a tenth of the base"
    limit = known({"lora.r": 44}, trainable=trains(r=44), run=ran([1.5] * 50))
    assert by_name(limit)["not learning"].changes == {"training.learning_rate": 5e-4}
    narrow = {"lora.r": 256, "training.learning_rate": 5e-4, "lora.target_modules": ["q_proj"]}
    modules = by_name(known(narrow, run=ran([1.5] * 50)))["not learning"]
    assert list(modules.changes) == ["lora.target_modules"]
    steps = known({"lora.r": 256, "training.learning_rate": 5e-4}, run=ran([1.5] * 50))
    assert by_name(steps)["not learning"].changes == {"training.max_steps": 600}
    seen = Known(steps.preset, run=ran([1.5] * 50), report={**REPORT, "train_rows": 800})
    assert by_name(seen)["not learning"].changes == {}, "three epochs are enough"
    assert "look at the data" in by_name(seen)["not learning"].text


def test_a_rank_that_is_not_the_limit_is_not_raised() -> None:
    case = known(held_out_loss=1.0, full_loss=0.5, lower_rank=(4, 1.0))
    found = by_name(case)
    assert found["rank not the limit"].changes == {"lora.r": 4, "lora.lora_alpha": 4.0}
    assert "lora.r" not in found["worse than full"].changes
    assert "higher rank" not in found["worse than full"].text


def test_a_rank_is_raised_to_what_the_data_needs_and_no_higher_than_is_of_use() -> None:
    # 5.2 million tokens, 95 % of them trained on, over 305,280 parameters a rank: 16.2
    assert remedy("rank may limit")["lora.r"] == 24
    assert remedy("rank may limit", 1)["lora.r"] == 44
    large = known(EPOCH, trainable=trains(8 * BILLION), report={**REPORT, "trained_tokens": 10**9})
    assert by_name(large)["rank may limit"].changes["lora.r"] == 256


def test_an_adapter_that_is_large_for_its_base_gives_way_to_full_fine_tuning() -> None:
    assert remedy("large adapter") == {"lora.method": "full"}
    for at in (1, 2):  # 4 bits cannot be trained whole; a large base would not fit
        case = CASES["large adapter"][0][at]
        assert case.trainable
        r = remedy("large adapter", at)["lora.r"]
        assert r * A_RANK <= 0.1 * case.trainable.total < (r + 1) * A_RANK or r == 256


def test_a_batch_is_made_smaller_by_accumulation_first() -> None:
    assert remedy("large batch") == {"training.gradient_accumulation_steps": 16}
    assert remedy("large batch", 1) == {
        "training.gradient_accumulation_steps": 1,
        "training.per_device_train_batch_size": 32,
    }
    few, many = (by_name(CASES["large batch"][0][at])["large batch"].text for at in (0, 2))
    assert "far more" in many and "far more" not in few


def test_padding_is_less_in_narrow_batches_of_the_same_effective_size() -> None:
    assert remedy("much padding") == {
        "training.per_device_train_batch_size": 1,
        "training.gradient_accumulation_steps": 8,
    }
    assert remedy("much padding", 1) == {"training.per_device_train_batch_size": 1}


def test_high_ranks_are_given_the_steadier_scale() -> None:
    assert remedy("odd scale", 2) == {"lora.use_rslora": True}
    assert remedy("odd scale", 3) == {"lora.lora_alpha": 16.0}
    assert remedy("odd scale", 4) == {"lora.lora_alpha": 256.0}, "rsLoRA would be too weak"


def test_a_run_tells_what_it_trains_and_on_what() -> None:
    history = History()
    history.fold(
        [
            {"kind": "model", "trainable_parameters": 64 * A_RANK, "total_parameters": SMOLLM},
            {"kind": "data", "train_rows": 400, "eval_rows": 0},
        ]
    )
    found = {one.rule for one in of_run(changed(PLAIN, {"lora.r": 64}), history.snapshot())}
    assert found == {"large adapter", "no held-out rows", "many epochs"}


@pytest.mark.parametrize("value", ["many", None, [], math.nan, -1])
def test_garbage_in_a_report_or_an_event_is_not_known(value: Any) -> None:
    report = dict.fromkeys((*REPORT, "padding_share"), value)
    run = ran(learns(60), tokens=value, trained_share=value, train_rows=value, eval_rows=value)
    found = by_name(known(EPOCH, trainable=trains(), report=report, run=run))
    assert set(found) <= {"rate may be slow"}


RATES = [1e-5, 5e-5, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2]
STRANGE = st.fixed_dictionaries(
    {
        "lora.method": st.sampled_from(["lora", "full"]),
        "lora.r": st.sampled_from([1, 2, 8, 16, 44, 64, 256, 1024]),
        "lora.lora_alpha": st.sampled_from([0.1, 1.0, 16.0, 64.0, 2048.0]),
        "lora.use_rslora": st.booleans(),
        "lora.target_modules": st.sampled_from([["q_proj"], ["c_attn"], "all-linear", ["mlp"]]),
        "data.source": st.sampled_from(["demo", "x.jsonl"]),
        "data.eval_fraction": st.sampled_from([0.0, 0.05, 0.5]),
        "training.learning_rate": st.sampled_from(RATES),
        "training.max_steps": st.sampled_from([-1, 1, 50, 150, 5000]),
        "training.num_train_epochs": st.sampled_from([0.1, 1.0, 3.0, 50.0]),
        "training.per_device_train_batch_size": st.sampled_from([1, 7, 64, 256]),
        "training.gradient_accumulation_steps": st.sampled_from([1, 4, 100]),
        "engine.processes": st.sampled_from([1, 8, 64]),
    }
)
RUNS = st.sampled_from(
    [
        None,
        ran([1.5] * 60, {0: 1.5, 60: 1.5}),
        ran(falls(150), UP_AT_THE_END, most=150, final="finished"),
        ran(learns(100, 0.1), {0: 2.0, 100: 1.0}, train_rows=30, eval_rows=0),
        ran(falls(120), most=120, final="finished"),
        ran([1.0, math.nan]),
    ]
)


@st.composite
def anything(draw: st.DrawFn) -> Known:
    """Facts of any kind together, likely or not."""
    values = draw(STRANGE)
    total = draw(st.sampled_from([0, 10**7, SMOLLM, 8 * BILLION]))
    rows = draw(st.sampled_from([0, 3, 400, 500_000]))
    counts = {"train_rows": rows, "kept": rows, "trained_tokens": 100 * rows, "eval_rows": 9}
    r = int(str(values["lora.r"]))
    return Known(
        changed(PLAIN, values),
        trains(total, r) if total else None,
        {**counts, "padding_share": draw(st.sampled_from([0.1, 0.9]))} if rows else None,
        draw(RUNS),
        held_out_loss=draw(st.sampled_from([None, 1.0])),
        full_loss=draw(st.sampled_from([None, 0.9])),
        equals_base=draw(st.booleans()),
        lower_rank=draw(st.sampled_from([None, (2, 1.0)])),
    )


@given(anything())
def test_every_remedy_fits_and_no_two_pull_a_setting_in_opposite_directions(case: Known) -> None:
    before = presets.to_document(case.preset)
    ways: dict[str, set[bool]] = {}
    for one in advice(case):
        if one.changes:
            assert changed(case.preset, dict(one.changes)) != case.preset, one
        for key, value in one.changes.items():
            table, _, name = key.partition(".")
            assert value != before[table][name] or key == "training.eval_steps", one
            if key == "lora.lora_alpha" and "lora.r" in one.changes:
                continue  # it goes with the rank: the scale stays
            if isinstance(value, float | int) and not isinstance(value, bool):
                ways.setdefault(key, set()).add(value > before[table][name])
    assert not [key for key, way in ways.items() if len(way) > 1], advice(case)
