"""`sweep` as scripts use it: the plan, a real sweep of two runs, tables, and bad input."""

import json
import subprocess
import sys

import pytest

from lora_tui.core import runs, sweeps

from .sweeps import asked, finished, made

ROWS = "".join(
    json.dumps({"prompt": f"What is {at}?", "completion": f"It is {at}."}) + "\n"
    for at in range(12)
)


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lora_tui", "sweep", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


@pytest.mark.slow
def test_a_sweep_runs_to_its_end_one_run_after_another(tmp_path):
    """Nobody but the keeper starts the second."""
    (tmp_path / "rows.jsonl").write_text(ROWS)
    settings = {
        "data.source": tmp_path / "rows.jsonl",
        "data.eval_fraction": 0.25,
        "training.max_steps": 2,
        "training.eval_steps": 0,
        "training.save_steps": 0,
        "engine.backend": "transformers",
    }
    given = [word for pair in settings.items() for word in ("--set", "=".join(map(str, pair)))]
    said = cli("demo", "--grid", "lora.r=2,4", *given, "--name", "tiny", "--json")
    assert said.returncode == 0, said.stderr
    document = json.loads(said.stdout)
    (sweep,) = sweeps.list_sweeps()
    assert (document["id"], document["runs"]) == (sweep.id, [run.id for run in sweep.runs])
    assert document["plan"]["number"] == 2 and document["plan"]["disk_bytes"]
    rows = document["rows"]
    assert [(row["label"], row["state"], row["step"]) for row in rows] == [
        ("r2", "finished", 2),
        ("r4", "finished", 2),
    ]
    assert 2 * rows[0]["trainable_parameters"] == rows[1]["trainable_parameters"]
    assert all(row["eval_loss"]["last"] and row["saved_bytes"] for row in rows)
    assert "r2  starting" in said.stderr and "r4  finished  held-out" in said.stderr
    ends = [list(map(json.loads, run.events.read_text().splitlines())) for run in sweep.runs]
    assert ends[0][-1]["t"] <= ends[1][0]["t"]  # one device, one run
    assert runs.read_info(sweep.runs[0])["command"].startswith("lora-tui sweep demo")


def test_the_table_of_one_made_before():
    sweep, other = finished(), made(asked(name="other"))
    said = cli("--show", sweep.id)
    assert said.returncode == 0 and said.stdout.startswith("run   state       steps  rank")
    assert "r32 is within 0.01 of it with 50.0 % of its trained parameters." in said.stdout
    document = json.loads(cli("--show", "ranks", "--json").stdout)
    assert [row["label"] for row in document["rows"]] == ["r8", "r16", "r32", "r64", "full"]
    assert document["state"] == "finished" and len(document["summary"]) == 4
    listed = json.loads(cli("--list", "--json").stdout)
    assert [one["id"] for one in listed] == [other.id, sweep.id]
    assert json.loads(cli("--stop", "last", "--json").stdout) == {"id": other.id, "stopped": 0}


def test_a_plan_starts_nothing():
    said = cli("demo", "--grid", "lora.r=8,16", "--with-full", "--halving", "--plan")
    assert said.returncode == 0 and "3, one after another" in said.stdout
    assert "a tenth of the preset's" in said.stdout and "step 30, 60" in said.stdout
    document = json.loads(cli("demo", "--grid", "lora.r=8", "--plan", "--json").stdout)
    assert document["runs"][0]["trainable_parameters"] == 155_648
    assert sweeps.list_sweeps() == [] and runs.list_runs() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "A sweep needs a preset"),
        (("demo", "--show", "last"), "A sweep needs a preset"),
        (("demo",), "name a key and its values"),
        (("demo", "--grid", "lora.r=8,x", "--set", "training.seed=y"), '"y" is not a whole'),
        (("demo", "--grid", "lora.r=8,x", "--set", "training.seed=y"), '"x" is not a whole'),
        (("demo", "--grid", "lora.r=8", "--set", "engine.device=cuda:9"), "cuda:9"),
        (("nothing", "--grid", "lora.r=8"), 'no preset "nothing"'),
        (("--show", "last"), 'no sweep "last"'),
    ],
)
def test_bad_input_is_named_and_has_status_2(arguments, words):
    said = cli(*arguments)
    assert said.returncode == 2
    assert words in said.stderr and "Traceback" not in said.stderr
    assert sweeps.list_sweeps() == [] and runs.list_runs() == []
