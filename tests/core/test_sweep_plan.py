"""What a sweep is said to cost before it starts, and what it says of itself."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lora_tui.core import events, measured, runs
from lora_tui.core.grids import Variant
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import find, with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.sweep_plan import Cost, Plan, cost_of, notes_of, problems_of
from lora_tui.core.sweeps import Asked

from ..sweeps import asked

CPU = Platform("transformers", "cpu", bfloat16=True)


def costs(wanted: Asked) -> list[Cost]:
    found = measured.collect()
    return [cost_of(one, CPU, found) for one in wanted.variants]


def ran(preset: Preset, seconds: float, beside: float) -> None:
    """A run of 100 steps that was measured, and took some time beside them."""
    run = runs.create(preset, name=preset.name)
    for t, kind, fields in (
        (0.0, "launched", {}),
        (1.0, "step", {"step": 100, "loss": 1.0}),
        (100 * seconds + beside, "finished", {"step": 100, "seconds_per_step": seconds}),
    ):
        events.append(run.events, kind, **fields)
        lines = run.events.read_text().splitlines()
        head = lines[-1].partition(",")[2]
        run.events.write_text("\n".join([*lines[:-1], f'{{"t": {t},{head}']) + "\n")


def test_sizes_are_counted_and_time_is_unknown_before_a_step_was_measured() -> None:
    found = costs(asked(with_full=True))
    assert [one.trainable for one in found] == [155_648, 311_296, 622_592, 1_245_184, 3_672_320]
    assert [one.steps for one in found] == [120] * 5 and all(one.memory for one in found)
    assert found[0].disk == 2 * 12 * 155_648 + 2 * 155_648  # save_steps is 60
    plan = Plan(tuple(found), free_disk=10**12)
    assert plan.seconds is None and plan.disk == sum(c.disk or 0 for c in found) + 12 * 3_672_320
    facts = dict(plan.facts())
    assert facts["runs"] == "5, one after another" and facts["time"].startswith("unknown")
    assert facts["disk"] == "200 MB of 1 TB free" and facts["memory"].endswith("by full")
    assert plan.document()["unmeasured"] == 5


def test_time_is_that_of_steps_measured_of_other_ranks_about() -> None:
    ran(with_settings(find("demo"), ["lora.r=16"]), 0.5, 20.0)
    r8, r16, full = costs(asked(grid={"lora.r": (8, 16)}, with_full=True))
    assert (r16.seconds, r16.is_rough) == (120 * 0.5 + 20, False)
    assert (r8.seconds, r8.is_rough) == (80, True) and full.seconds is None
    said = dict(Plan((r8, r16, full)).facts())["time"]
    assert said == "about 02:40, without 1 run that was never measured"
    ran(with_settings(find("demo"), ["lora.method=full"]), 1.0, 0.0)
    assert costs(asked(grid={"lora.r": (8, 16)}, with_full=True))[2].seconds == 120


def test_a_check_knows_how_long_loading_and_measuring_take() -> None:
    check = runs.create(find("demo"), kind="check")
    figures = {"seconds_per_step": 0.5, "max_steps": 100, "seconds": 53.0, "trial_seconds": 4.0}
    lines = [{"t": 0.0, "kind": "launched"}, {"t": 15.0, "kind": "finished", **figures}]
    check.events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (cost,) = costs(asked(grid={"lora.r": (8,)}))
    assert cost.seconds == 120 * 0.5 + 3 + 11


@pytest.mark.parametrize(("devices", "seconds"), [(1, 100), (2, 60), (3, 60), (4, 40)])
def test_several_devices_share_the_runs(devices: int, seconds: float) -> None:
    one = Cost(Variant("x", {}, Preset()), seconds=10.0)
    times = (20.0, 20.0, 20.0, 40.0)
    plan = Plan(tuple(replace(one, seconds=time) for time in times), devices)
    assert plan.seconds == seconds


def notes(wanted: Asked, combinations: int = 4) -> str:
    return "\n".join(notes_of(wanted, costs(wanted), combinations))


def test_the_scale_of_the_update_is_said_where_only_the_rank_changes() -> None:
    assert "alpha / r = 2, 1, 0.5, 0.25 times" in notes(asked())
    assert "odd" not in notes(asked())
    wide = asked(grid={"lora.r": (2, 8, 128)})
    assert "= 8, 2, 0.125 times; outside 0.25 to 4 is odd: r 2, 128" in notes(wide, 3)
    stable = asked(with_settings(find("demo"), ["lora.use_rslora=true"]))
    assert "alpha / sqrt(r) = 5.66, 4, 2.83, 2 times." in notes(stable)
    both = asked(grid={"lora.r": (8, 16), "lora.lora_alpha": (8.0, 16.0)})
    assert "lora_alpha" not in notes(both)


def test_the_rate_of_the_baseline_has_its_source() -> None:
    said = notes(asked(with_full=True))
    assert "a learning rate of 0.0001: a tenth" in said and "lora_without_regret.md" in said
    assert "full" not in notes(asked())


def test_what_is_left_out_and_what_does_not_compare_is_said() -> None:
    twice = asked(grid={"lora.r": (8, 16), "lora.method": ("lora", "full")})
    assert "1 of 4 combinations is left out" in notes(twice)
    assert "data.train_on change what" in notes(asked(grid={"data.train_on": ("last", "all")}), 2)


def problems(settings: list[str], **how: Any) -> str:
    wanted = asked(with_settings(find("demo"), settings), halving=True, **how)
    return "\n".join(map(str, problems_of(wanted, costs(wanted))))


def test_halving_needs_measurements_that_compare() -> None:
    assert problems([]) == ""
    assert "step 30, 60 a run goes on only if" in notes(asked(halving=True))
    assert "set it, so that" in problems(["training.eval_steps=0"])
    assert "set it lower" in problems(["training.eval_steps=120"])
    own = ["data.eval_fraction=0", "data.source=some/rows"]
    assert "data.eval_fraction: halving goes by held-out losses: hold some rows out" in problems(
        own
    )
    assert "data.too_long: changes what" in problems([], grid={"data.too_long": ("cut", "drop")})
