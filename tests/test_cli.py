"""The command line as scripts use it: exit statuses, one JSON document, no traceback."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui.core import events, references, runs
from lora_tui.core.preset_files import changed, with_settings
from lora_tui.core.presets import PROJECTIONS, Preset
from tools.terminal import Terminal

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]


@pytest.fixture
def cli() -> Cli:
    """Run `lora-tui` in a process of its own."""

    def run(*arguments: str, **kwargs: object) -> Finished:
        return subprocess.run(
            [sys.executable, "-m", "lora_tui", *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
            **kwargs,  # type: ignore[call-overload]  # passed on
        )

    return run


def test_help_names_every_verb_and_loads_no_library(cli: Cli) -> None:
    said = cli("--help")
    assert said.returncode == 0
    for verb in [
        "train",
        "data",
        "check",
        "runs",
        "show",
        "watch",
        "stop",
        "resume",
        "delete",
        "presets",
        "doctor",
    ]:
        assert verb in said.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nope"], "There is no preset"),
        (["train", "demo", "--set", "lora.rnk=8"], "lora.rnk: unknown"),
        (["train", "demo", "--set", "lora.r=0", "--set", "training.seed=x"], "lora.r: 0 is out"),
        (["train", "demo", "--set", "data.source=gone.jsonl"], 'there is no "gone.jsonl"'),
        (["show", "nope"], 'There is no run "nope"'),
        (["stop", "last"], "There is no run"),
        (["watch", "nope"], "There is no run"),
        (["resume", "nope"], "There is no run"),
        (["delete", "nope"], "There is no run"),
        (["presets", "--show", "nope"], "There is no preset"),
        (["fly"], "No such command"),
        (["train"], "Missing argument"),
        ([], "The app needs a terminal"),
    ],
)
def test_bad_input_is_one_clear_message_and_status_2(
    cli: Cli, arguments: list[str], words: str
) -> None:
    said = cli(*arguments)
    assert said.returncode == 2 and words in said.stderr
    assert "Traceback" not in said.stderr and said.stdout == ""
    assert runs.list_runs() == []


def test_with_json_an_error_is_a_document_too(cli: Cli) -> None:
    said = cli("show", "nope", "--json")
    assert said.returncode == 2
    assert json.loads(said.stdout)["error"]["summary"] == 'There is no run "nope".'


def test_lists_are_lists_even_when_empty(cli: Cli) -> None:
    assert json.loads(cli("runs", "--json").stdout) == []
    presets = json.loads(cli("presets", "--json").stdout)
    assert {"demo", "smollm2-lora"} <= {entry["name"] for entry in presets}
    assert json.loads(cli("presets", "--show", "demo", "--json").stdout)["lora"]["r"] > 0


def test_a_preset_printed_is_a_preset_that_loads(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "copy.toml"
    path.write_text(cli("presets", "--show", "smollm2-lora").stdout)
    assert cli("presets", "--show", str(path)).stdout == path.read_text()


EVIL = "evil\x1b[31m\x07\x9b2J\u202e[red]name"


@pytest.fixture
def failed() -> runs.Run:
    """A failed run whose texts try to command the terminal."""
    run = runs.create(Preset(name="p"), name=EVIL)
    events.append(run.events, "launched", pid=1)
    events.append(run.events, "failed", step=0, summary=f"{EVIL} Out of memory.", hint="Halve it.")
    return run


def test_a_failed_run_is_shown_and_watched_with_status_1(cli: Cli, failed: runs.Run) -> None:
    watched = cli("watch", "last")
    assert watched.returncode == 1 and "Out of memory." in watched.stdout + watched.stderr
    listed, shown = cli("runs"), cli("show", "last")
    assert listed.returncode == shown.returncode == 0
    assert "[red]name" in listed.stdout
    document = json.loads(cli("show", "last", "--json").stdout)
    assert document["state"] == "failed" and document["failure"]["hint"] == "Halve it."


def test_advice_on_a_run_is_shown_with_changes_that_set_takes(cli: Cli) -> None:
    odd = {"training.max_steps": 50, "lora.target_modules": ["q_proj"]}
    run = runs.create(changed(Preset(name="odd"), odd), kind="train")
    events.append(run.events, "finished", step=50)
    shown = json.loads(cli("show", run.id, "--json").stdout)["advice"]
    assert [one["rule"] for one in shown] == ["attention only", "few steps"]
    assert shown[1]["changes"] == {"training.max_steps": 200} and shown[1]["source"]
    lines = cli("show", run.id).stdout.splitlines()
    assert "! 50 steps are a first look: too few to judge by" in "\n".join(lines)
    given = [shlex.split(line[2:]) for line in lines if line.startswith("> ")]
    assert [words[0] for words in given] == ["--set", "--set"]
    preset = with_settings(Preset(), [words[1] for words in given])
    assert preset.lora.target_modules == PROJECTIONS and preset.training.max_steps == 200
    watched = cli("watch", run.id)
    assert f"2 hints: lora-tui show {run.id}" in watched.stdout
    assert "hint" not in cli("watch", run.id, "--json").stderr


@pytest.mark.parametrize("verb", [["runs"], ["show", "last"], ["watch", "last"], ["show", EVIL]])
def test_no_text_of_a_run_commands_the_terminal(verb: list[str], failed: runs.Run) -> None:
    """In a real terminal: click would take escape sequences out of a pipe by itself."""
    with Terminal([sys.executable, "-m", "lora_tui", *verb]) as terminal:
        terminal.pump(180)  # to its end
        assert b"name" in terminal.raw
        for code in (b"\x1b[31m", b"\x07", "\x9b".encode(), "\u202e".encode()):
            assert code not in terminal.raw


def test_a_deleted_run_is_gone(cli: Cli) -> None:
    run = runs.create(Preset(name="p"))
    assert json.loads(cli("delete", "last", "--json").stdout) == {"id": run.id, "deleted": True}
    assert not run.path.exists()


def test_a_closed_pipe_is_no_error(cli: Cli) -> None:
    for _ in range(50):
        runs.create(Preset(name="p"))
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m lora_tui runs | head -1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert piped.stderr == "" and piped.stdout.count("\n") == 1


def test_ctrl_c_leaves_the_run_running(cli: Cli) -> None:
    # Whoever runs the tests in the background ignores SIGINT, and so would it without `env`.
    command = [sys.executable, "-m", "lora_tui", "train", "demo"]
    follower = subprocess.Popen(
        ["env", "--default-signal=INT", *command, "--set", "training.max_steps=5000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout
    run_id = follower.stdout.readline().strip()
    run = references.find(run_id)
    while "launched" not in follower.stdout.readline():
        pass
    os.kill(follower.pid, signal.SIGINT)
    _, said = follower.communicate(timeout=180)
    assert follower.returncode == 0 and f"lora-tui stop {run_id}" in said
    assert runs.is_alive(run)
    stopped = cli("stop", run_id)
    assert stopped.returncode == 0 and stopped.stdout.startswith(run_id) and not runs.is_alive(run)


def test_doctor_looks_at_everything_and_says_what_to_do(cli: Cli) -> None:
    said = cli("doctor", "--json")
    document = json.loads(said.stdout)
    names = [item["name"] for item in document["items"]]
    wanted = ["python", "gpu", "libraries", "unsloth", "export tools", "disk", "terminal", "notify"]
    assert [name for name in names if name != "logout"] == [*wanted, "hub"]
    assert document["ok"] is True and said.returncode == 0
    assert all(item["remedy"] for item in document["items"] if item["status"] != "green")


def test_names_that_the_terminal_cannot_show_do_not_end_the_list(own_home: Path) -> None:
    runs.create(Preset(name="模型"), name="模型")
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui", "runs"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0 and b"??" in done.stdout


def test_delete_asks_where_somebody_can_answer(own_home: Path, cli: Cli) -> None:
    kept, gone = (runs.create(Preset(name=name)) for name in ("kept", "gone"))
    with Terminal([sys.executable, "-m", "lora_tui", "delete", "kept"]) as terminal:
        terminal.wait_for("for good?")
        terminal.press("n\r")
        assert terminal.wait_for_end() != 0
    assert kept.path.exists()
    assert cli("delete", "gone").returncode == 0 and not gone.path.exists()
