"""Sweeps: their file, how their runs stand, the table, and what they come to."""

import json
from dataclasses import replace

import pytest

from lora_tui.core import comparisons, locations, runs, sweep_rows, sweep_table, sweeps
from lora_tui.core.errors import Ambiguous, BadInput
from lora_tui.core.sweep_rows import Following

from ..sweeps import RANKS, TRAINABLE, asked, finished, made, say, told


def test_a_sweep_is_written_and_read_and_its_runs_know_it() -> None:
    sweep = made(asked(with_full=True, halving=True))
    assert sweeps.read(sweep.path) == sweep and sweeps.list_sweeps() == [sweep]
    said = json.loads((sweep.path / "sweep.json").read_text())
    assert said["schema"] == 1 and said["with_full"] and said["halving"]
    assert said["grid"] == {"lora.r": list(RANKS)} and said["runs"] == [r.id for r in sweep.runs]
    assert sweep.labels == ("r8", "r16", "r32", "r64", "full")
    assert sweep.baseline == sweep.runs[-1].id and sweep.first_rung == 30
    options = runs.read_info(sweep.runs[1])["options"]
    assert options == {"sweep": sweep.id, "values": {"lora.r": 16}}
    assert not list(sweep.path.glob(".*"))


def test_a_sweep_is_found_as_runs_are() -> None:
    first, second = made(asked()), made(asked(name="other"))
    assert sweeps.find("last") == second and sweeps.find(first.id) == first
    assert sweeps.find("other") == second
    third = made(asked(name="other"))
    assert sweeps.find(second.id) == second and third.id == f"{second.id}-2"
    assert sweeps.find(third.id) == third
    with pytest.raises(Ambiguous, match="fits 2 sweeps"):
        sweeps.find("other")
    with pytest.raises(BadInput, match='no sweep "none"'):
        sweeps.find("none")
    sweeps.forget(first)
    assert len(sweeps.list_sweeps()) == 2 and first.runs[0].path.is_dir()


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", "{}", '{"runs": 3}', '{"runs": ["a"], "preset": 3}', "[" * 100_000]
)
def test_what_is_no_sweep_is_passed_over(garbage: str) -> None:
    path = sweeps.claim("broken")
    (path / "sweep.json").write_text(garbage)
    assert sweeps.read(path) is None and sweeps.list_sweeps() == []


def test_no_run_is_looked_for_outside_the_runs() -> None:
    path = sweeps.claim("odd")
    (path / "sweep.json").write_text(json.dumps({"runs": ["../../etc", "a"], "labels": ["x"]}))
    sweep = sweeps.read(path)
    assert sweep and [run.path for run in sweep.runs] == [locations.runs_folder() / "a"]
    assert sweep.labels == ("a",) and sweep_rows.read(sweep)[0].state == sweep_rows.GONE


def test_the_table_has_a_line_a_run_and_says_what_is_best() -> None:
    sweep = finished()
    rows = sweep_rows.read(sweep)
    lines = list(sweep_table.lines(rows))
    titles = "run state steps rank trained saved s/step memory held-out manner"
    assert lines[0].split() == titles.split()
    assert lines[1].split() == [
        *("r8", "finished", "120/120", "8", "155.6k*", "623", "kB*"),
        *("0.304*", "844", "MB", "1.402", "97.9", "%*"),
    ]
    assert lines[5].split()[:4] == ["full", "finished", "120/120", "full"] and "1.254*" in lines[5]
    assert len({len(line.rstrip("* %")) for line in lines[1:]}) == 1  # aligned
    document = rows[4].document()
    assert document["baseline"] and document["trainable_parameters"] == TRAINABLE["full"]
    assert document["eval_loss"] == {"first": 2.911, "last": 1.254, "best": 1.254}
    assert document["rank"] is None and rows[0].document()["values"] == {"lora.r": 8}


def test_it_comes_to_the_best_the_smallest_as_good_and_shares_of_what_full_gained() -> None:
    rows = sweep_rows.read(finished())
    assert sweep_table.summary_of(rows) == [
        "Of the adapters, r64 has the lowest held-out loss: 1.297.",
        "r32 is within 0.01 of it with 50.0 % of its trained parameters.",
        "r32: 97.2 % of full fine-tuning's gain at 17.0 % of the parameters.",
        "r64: 97.4 % of full fine-tuning's gain at 33.9 % of the parameters.",
    ]
    assert sweep_table.summary_of(rows[:1]) == []
    trade_off = sweep_table.trade_off(rows)
    assert [(at, loss) for _, loss, at in trade_off.points] == [
        (0, 1.402), (1, 1.318), (2, 1.301), (3, 1.297),
    ]  # fmt: skip
    assert trade_off.baseline == 1.254 and trade_off.baseline_size == 3_672_320


def test_a_look_reads_what_is_new() -> None:
    sweep = finished(ended=("r8",))
    following = Following(sweep)
    first, second, *_ = following.look()
    assert (first.state, second.state) == ("finished", "stopped")  # it never began: no ticket
    assert second.trainable is None and following.look()[0] == first
    told(sweep.runs[1], {30: 1.9}, label="r16", final="")
    rows = following.look()
    assert [at for *_, at in sweep_table.trade_off(rows).points] == [0]  # others got less far
    now = rows[1]
    assert now.state == "crashed" and now.step == 30 and now.held_out == 1.9 and now.failure
    assert following.courses()[1].points("held-out", "step") == ((0, 2.911), (30, 1.9))
    say(sweep.runs[1], 500, "started", resumed_from=20, max_steps=120)
    assert following.look()[1].held_out is None  # measured at 0 alone: that was the base
    runs.delete(sweep.runs[0])
    assert following.look()[0].state == sweep_rows.GONE
    assert "gone" in "\n".join(sweep_table.lines(following.look()))


def test_a_sweep_stands_among_what_was_made_before() -> None:
    sweep = finished()
    (found,) = comparisons.earlier()
    assert (found.kind, found.names, found.state) == ("sweep", ("ranks",), "finished")
    assert found.run.path == sweep.path


def test_halving_has_no_rung_without_measurements() -> None:
    sweep = made(asked())
    grid = {"training.eval_steps": (10, 40)}
    assert replace(sweep, grid=grid).first_rung == 40
    assert replace(sweep, grid={"training.eval_steps": (0, 40)}).first_rung == 0
    assert replace(sweep, preset={}).first_rung == 0
