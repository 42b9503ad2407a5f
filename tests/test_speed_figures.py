"""What benchmarks/speed.py makes of its measurements."""

from pathlib import Path

import pytest

from benchmarks import speed_figures as figures
from benchmarks.speed_figures import COLUMNS, Measured, crossing, limited, ratios, spread
from benchmarks.speed_runs import of_events
from benchmarks.tables import put


def measured(speed=1.0, loss=10.0, gigabytes=1.0):
    """Four steps of 100 tokens, the first of them slow."""
    step = 1 / speed
    return Measured(
        seconds=[9.0, step, step, step],
        tokens=[100] * 4,
        trained=[50] * 4,
        losses=(12.0, 11.0, loss),
        to_first_step=6.0,
        peak=gigabytes * 1e9,
        evaluation=step,
        saved=9_700_000,
    )


def round_of(**own):
    """Every script alike, but what is said of some."""
    names = {"own": figures.OWN, "bare": figures.BARE, "full": figures.FULL_OWN}
    return {name: measured() for name in COLUMNS} | {names[key]: one for key, one in own.items()}


@pytest.mark.parametrize(
    ("target", "when"),
    [(12.0, 0.0), (11.5, 5.0), (11.0, 10.0), (10.0, 12.0), (9.0, 14.0), (8.9, None)],
)
def test_a_loss_is_reached_on_the_lines_between_the_points(target, when) -> None:
    assert crossing((0.0, 10.0, 14.0), (12.0, 11.0, 9.0), target) == when


def test_a_loss_that_rose_first_is_reached_once_it_is_lower() -> None:
    assert crossing((0.0, 2.0, 4.0), (10.0, 11.0, 9.0), 10.0) == 0.0
    assert crossing((0.0, 2.0, 4.0), (10.0, 11.0, 9.0), 9.5) == 3.5


def test_the_first_step_only_warms_up() -> None:
    one = measured(speed=2.0)
    assert (one.step, one.pace, one.trained_pace) == (0.5, 200.0, 100.0)


def test_all_are_timed_to_the_loss_that_the_worst_of_their_kind_reached() -> None:
    one = round_of(own=measured(loss=9.0), full=measured(loss=1.0))
    assert figures.target_of(one, figures.LORA) == 10.0
    assert figures.seconds_to_target(one, figures.STOCK_TRL) == 12.0
    assert figures.seconds_to_target(one, figures.OWN) == 11.0
    assert figures.seconds_to_target(one, figures.BARE) is None


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [round_of(own=measured(2.2)), round_of(own=measured(1.8)), round_of(own=measured(2.0))]
    found = {line.name: line for line in ratios(rounds, [6.0, 5.0, 4.0], on_gpu=False)}
    pace = found[f"{figures.OWN}: tokens/s over TRL's"]
    assert pace.values == pytest.approx([2.2, 1.8, 2.0])
    assert pace.limit == "at least 2"
    behind = found[f"{figures.OWN_UNSLOTH}: tokens/s over Unsloth's"]
    assert behind.values == pytest.approx([1.0] * 3)
    assert behind.limit == "at least 1.3: **MISSED**"
    assert found["LoRA's step over full fine-tuning's, lora-tui"].values == pytest.approx(
        [1 / 2.2, 1 / 1.8, 1 / 2.0]
    )


def test_a_gpu_has_limits_of_its_own() -> None:
    limits = [line.limit for line in ratios([round_of()], [6.0], on_gpu=True)]
    assert limits[:4] == ["at least 1.8: **MISSED**", "at least 1"] * 2


def test_what_learnt_nothing_has_no_time_to_a_loss() -> None:
    """And takes no other figure with it."""
    lines = ratios([round_of(own=measured(loss=12.5))], [6.0], on_gpu=False)
    names = [line.name for line in lines]
    assert names.count("… to the common loss sooner than TRL") < names.count("… loss above TRL's")


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (0.4, "at least -0.5 and at most 0.5"),
        (0.6, "at least -0.5 and at most 0.5: **MISSED**"),
        (-0.6, "at least -0.5 and at most 0.5: **MISSED**"),
        (float("nan"), "at least -0.5 and at most 0.5: **MISSED**"),
    ],
)
def test_what_misses_its_limit_is_marked(value, limit) -> None:
    assert limited("loss", [value], "%", least=-0.5, most=0.5).limit == limit


def test_a_cell_has_its_range_where_there_are_several() -> None:
    assert spread([2.0, 1.0, 3.0]) == "2 (1 to 3)"
    assert spread([2.0]) == "2"
    assert spread([None]) == ""


def test_every_row_has_a_cell_for_every_script() -> None:
    table = figures.figures_table([round_of(), round_of()])
    assert {line.count("|") for line in table} == {len(COLUMNS) + 2}
    assert "10.0000" in next(line for line in table if "held-out loss" in line)


def test_a_profile_is_told_by_the_step() -> None:
    lines = figures.profile_table([(3.0, 40, "mm"), (1.0, 4, "add")], 4)
    assert lines[-2:] == ["| `mm` | 0.75 | 75.0% | 10 |", "| `add` | 0.25 | 25.0% | 1 |"]


def test_a_heap_is_told_in_gigabytes() -> None:
    lines = figures.heap_table([(800_000_000, 284_000_000), (10**9, 4 * 10**8)])
    assert lines[-2:] == ["| 1 | 0.80 | 0.28 |", "| 2 | 1.00 | 0.40 |"]


def test_a_run_is_measured_by_its_events() -> None:
    common = {"kind": "step", "memory_bytes": 5}
    events = [
        {"t": 103.0, "kind": "eval", "step": 0},
        {"t": 107.0, "step": 1, "seconds": 3.0, "tokens": 10, "trained_tokens": 4, **common},
        {"t": 109.0, "step": 2, "seconds": 5.0, "tokens": 30, "trained_tokens": 9, **common},
        {"t": 113.5, "kind": "eval", "step": 2},
    ]
    assert of_events(events, 100.0, 2, 7) == Measured(
        seconds=[3.0, 2.0],
        tokens=[10, 20],
        trained=[4, 5],
        to_first_step=4.0,
        peak=5,
        evaluation=4.5,
        saved=7,
    )


def test_a_section_is_replaced_and_the_rest_is_left(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- a -->\nold\n<!-- /a -->\nbelow\n", encoding="utf-8")
    put(page, "a", ["new"])
    put(page, "b", ["more"])
    text = "above\n<!-- a -->\nnew\n<!-- /a -->\nbelow\n\n<!-- b -->\nmore\n<!-- /b -->\n"
    assert page.read_text("utf-8") == text
