"""A draft of a merge: what each key and each typed text makes of it; no app is needed."""

from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import runs
from lora_tui.core.members import Member
from lora_tui.core.merging import DTYPES, METHODS, MergePlan
from lora_tui.core.presets import Preset
from lora_tui.tui import merge_draft
from lora_tui.tui.merge_draft import Draft


def who(*names: str, run: str = "") -> list[Member]:
    return [Member(name, name, "lora", f"/at/{name}", "demo", run=run) for name in names]


def draft(*names: str, **plan: Any) -> Draft:
    found = Draft.of(who(*names))
    for name, value in plan.items():
        found = found.with_value(name, value)
    return found


def test_several_weigh_alike_and_one_is_taken_whole() -> None:
    assert draft("a").plan.weights == (1.0,) and not draft("a").has_weights
    assert draft("a", "b", "c").plan.weights == (1 / 3,) * 3


def test_lines_are_those_that_the_method_needs() -> None:
    settings = ["dtype", "out"]
    assert draft("a").keys == ["member a", *settings]
    several = ["member a", "member b", "method"]
    wanted = {"linear": [], "cat": [], "svd": ["rank"], "dare_ties": ["density", "seed"]}
    for method, more in wanted.items():
        assert draft("a", "b", method=method).keys == [*several, *more, *settings]
    assert draft("a", "b", method="ties").keys == [*several, "density", *settings]


def test_keys_change_a_weight_by_a_tenth_without_dust() -> None:
    found = draft("a", "b")
    for _ in range(3):
        found = found.turned("member a", 1)
    assert found.plan.weights == (0.8, 0.5)
    for _ in range(9):
        found = found.turned("member a", -1)
    assert found.plan.weights == (-0.1, 0.5)
    assert draft("a").turned("member a", 1).plan.weights == (1.0,)


def test_keys_turn_choices_around_and_stop_at_the_ends_of_ranges() -> None:
    found = draft("a", "b")
    methods = list(METHODS)
    assert found.turned("method", -1).plan.method == methods[-1]
    assert found.turned("method", -1).turned("method", 1).plan.method == methods[0]
    assert found.turned("dtype", 1).plan.dtype == DTYPES[1]
    assert found.with_value("density", 1.0).turned("density", 1).plan.density == 1.0
    assert found.with_value("density", 0.1).turned("density", -1).plan.density == 0.1
    assert found.turned("rank", -1).plan.rank == 0 and found.turned("rank", 1).plan.rank == 1
    assert found.turned("out", 1) == found


def test_one_more_and_one_less_keep_what_was_set() -> None:
    alike = draft("a", "b").with_member(who("c")[0])
    assert alike.plan.weights == (1 / 3,) * 3
    assert alike.without(1).plan.weights == (0.5, 0.5)
    assert [one.id for one in alike.without(1).plan.members] == ["a", "c"]
    set_ = draft("a", "b").with_value("member a", 0.8)
    assert set_.with_member(who("c")[0]).plan.weights == (0.8, 0.5, 0.65)
    assert set_.with_member(who("c")[0]).without(1).plan.weights == (0.8, 0.65)
    assert set_.without(1).plan.weights == (1.0,)


@pytest.mark.parametrize("typed", ["abc", "nan", "inf", "", "0,5", "[1]", "true", "1e400", "\x1b"])
def test_what_is_no_weight_is_said(typed: str) -> None:
    item = draft("a", "b").knob_of("member a")
    assert item is not None
    said = merge_draft.wrong_with(item, typed)
    assert said is not None and said.endswith(".")


@pytest.mark.parametrize(("typed", "value"), [("0", 0.0), ("-0.25", -0.25), (" 1 ", 1.0)])
def test_what_is_a_weight_is_taken_as_typed(typed: str, value: float) -> None:
    item = draft("a", "b").knob_of("member a")
    assert item is not None
    assert merge_draft.wrong_with(item, typed) is None
    read = merge_draft.read(item, typed)
    assert read == value and isinstance(read, float)


def test_a_density_of_nothing_and_a_rank_below_nothing_are_refused() -> None:
    found = draft("a", "b")
    for key, typed in (("density", "0"), ("density", "1.5"), ("rank", "-1"), ("seed", "0.5")):
        item = found.knob_of(key)
        assert item is not None and merge_draft.wrong_with(item, typed)


def test_one_run_goes_into_its_folder_and_others_into_a_new_one() -> None:
    one = Draft.of(who("a", run="/runs/a"))
    assert one.folder == one.usual == Path("/runs/a/merged")
    assert one.with_value("out", "~/there").folder == Path.home() / "there"
    assert Draft.of(who("a", "b", run="/runs/a")).folder is None
    assert draft("a").folder is None  # made elsewhere


def test_an_earlier_merge_is_taken_up_again(tmp_path: Path) -> None:
    plan = MergePlan(members=tuple(who("a", "b")), weights=(0.7, 0.3), method="svd", rank=3)
    options = {**plan.document(), "out": str(tmp_path), "has_rows": True}
    run = runs.create(Preset(name="demo"), name="x", kind="merge", options=options)
    assert Draft.again(run) == Draft(plan, str(tmp_path))
    alone = MergePlan(members=tuple(who("a", run="/runs/a")))
    usual = {**alone.document(), "weights": [0.7], "out": "/runs/a/merged", "has_rows": True}
    run = runs.create(Preset(name="demo"), name="y", kind="merge", options=usual)
    assert Draft.again(run) == Draft(alone)


SOUND = {**MergePlan(members=tuple(who("a"))).document(), "out": ""}


@pytest.mark.parametrize(
    "garbage",
    [
        None,
        3,
        [],
        {},
        {"members": 3},
        {"members": [{}], "out": ""},
        {**SOUND, "weights": []},
        {**SOUND, "members": [], "weights": []},
        {**SOUND, "method": "of a newer version"},
        {**SOUND, "dtype": ["?"]},
    ],
)
def test_an_earlier_merge_whose_files_say_nothing_is_none(garbage: Any) -> None:
    run = runs.create(Preset(name="demo"), name="x", kind="merge")
    runs.add_to_info(run, options=garbage)
    assert Draft.again(run) is None
