"""`merge` and `export` as scripts use them: what is bad input, and what is said of it."""

import subprocess
import sys

import pytest

from tests.adapters import write_adapter


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
        (("merge", "ADAPTER", "--weights", "1,2"), "weights"),
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
