"""`merge` and `export` as scripts use them: what is bad input, and what is said of it."""

import json
import subprocess
import sys

import pytest

from lora_tui.core import events, runs
from lora_tui.core.members import Member
from lora_tui.core.merging import MergePlan
from lora_tui.core.presets import Preset
from lora_tui.core.proofs import PASS, Proof
from tests.adapters import write_adapter

ONE = Member("one", "one", "lora", "/1", "demo")


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lora_tui", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("merge",), "There is nothing to merge."),
        (("merge", "nobody"), 'There is no run "nobody".'),
        (("merge", "ADAPTER", "--weights", "a,b"), '--weights "a,b" are no numbers'),
        (("merge", "ADAPTER", "--weights", "1,2"), "Weights: 2 for 1"),
        (("merge", "ADAPTER", "ADAPTER"), "2 times"),
        (("merge", "ADAPTER", "--dtype", "int8"), "int8"),
        (("merge", "ADAPTER", "OTHER", "--method", "tie"), "ties"),
        (("merge", "ADAPTER", "OTHER", "--method", "linear"), "rank"),
        (("merge", "ADAPTER", "--out", "TAKEN"), "holds something else already"),
        (("export",), "RUN"),
        (("export", "nobody"), 'There is no run "nobody".'),
        (("export", "ADAPTER", "--quant", "q4km"), "q4_k_m"),
        (("export", "ADAPTER", "--quant", ","), "type"),
        (("export", "ADAPTER", "--rows", "0"), "0"),
        (("export", "/nowhere/at/all"), "There is no folder /nowhere/at/all"),
    ],
)
def test_bad_input_is_named_and_has_status_2(arguments, words, tmp_path):
    places = {
        "ADAPTER": lambda: write_adapter(tmp_path / "one"),
        "OTHER": lambda: write_adapter(tmp_path / "two", r=8),
        "TAKEN": lambda: write_adapter(tmp_path / "taken"),
    }
    said = cli(*(places[one]() if one in places else one for one in arguments))
    assert said.returncode == 2, said.stderr
    assert words in said.stderr and "Traceback" not in said.stderr


def test_merges_of_several_are_listed_and_deleted():
    options = MergePlan(members=(ONE, ONE), weights=(0.5, 0.5)).document()
    run = runs.create(Preset(), name="both", kind="merge", options=options)
    parts = {"members": options["members"], "weights": [0.7, 0.3]}
    events.append(run.events, "merging", method="ties", path=str(run.merged), **parts)
    events.append(run.events, "proof", **Proof(PASS).document())
    assert cli("merge", "--list").stdout == f"{run.id}  PASS  ties 0.700 one + 0.300 one\n"
    (listed,) = json.loads(cli("merge", "--list", "--json").stdout)
    assert (listed["id"], listed["method"]) == (run.id, "ties")
    assert cli("delete", run.id, "--yes").returncode == 0
    assert cli("merge", "--list").stdout == "" and not run.path.exists()
