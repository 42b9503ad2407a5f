"""`compare` as scripts use it."""

import json
import subprocess
import sys

import pytest

from tests.adapters import write_adapter


def cli(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lora_tui", "compare", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


def test_a_comparison_is_made_kept_and_shown_again(tmp_path):
    one, zero = write_adapter(tmp_path / "one"), write_adapter(tmp_path / "zero", size=0)
    bare = tmp_path / "bare"
    bare.mkdir()
    asked = tmp_path / "asked.txt"
    asked.write_text("Who are you?\n\nWhat is ice?\n")
    out = tmp_path / "out"
    said = cli(one, bare, zero, "--prompts", asked, "--out", out, "--max-new-tokens", 4, "--json")
    assert said.returncode == 0, said.stderr
    assert f"left out: {bare} holds no adapter" in said.stderr
    document = json.loads(said.stdout)
    assert document["path"] == str(out) and document["base"] == "demo"
    assert document["held_out"]["rows"] is None and "held out" in document["warnings"][0]
    assert [run["id"] for run in document["runs"]] == [str(one), str(zero)]
    assert [run["equals_base"] for run in document["runs"]] == [False, True]
    assert [prompt["prompt"] for prompt in document["prompts"]] == ["Who are you?", "What is ice?"]
    assert set(document["prompts"][0]["outputs"]) == {str(one), str(zero)}
    assert json.loads((out / "comparison.json").read_text("utf-8")) == document
    again = cli("--open", "last")
    assert again.returncode == 0
    assert "KL from base" in again.stdout
    assert "! zero: Its update is zero in every layer" in again.stdout
    with_base = json.loads(cli("--open", "last", "--with-base", "--json").stdout)
    assert with_base["runs"][0]["id"] == "base"


def test_when_nobody_could_be_measured_the_status_is_1(tmp_path):
    folder = write_adapter(tmp_path / "lost", base="/nowhere/at/all")
    said = cli(folder)
    assert said.returncode == 1
    assert "! lost: Its base cannot be loaded: There is no model at /nowhere/at/all" in said.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "There is nothing to compare."),
        (("nobody",), 'There is no run "nobody".'),
        (("--open", "last"), 'There is no "last" in'),
        (("x", "--prompts", "/nowhere.txt"), "/nowhere.txt"),
        (("--open", "last", "--data", "demo"), "--open shows a comparison made before"),
        (("/nowhere/at/all",), "There is no folder /nowhere/at/all"),
        (("x", "--temperature", "-1"), "-1"),
        (("x", "--rows", "0"), "0"),
    ],
)
def test_bad_input_is_named_and_has_status_2(arguments, words):
    said = cli(*arguments)
    assert said.returncode == 2
    assert words in said.stderr and "Traceback" not in said.stderr
