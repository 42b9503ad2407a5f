"""`data` and `check` as scripts use them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lora_tui.core import locations, runs
from lora_tui.jobs import control
from tools.terminal import wait_until

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lora_tui", *arguments]


@pytest.fixture
def cli() -> Cli:
    """Run `lora-tui` in a process of its own."""

    def run(*arguments: str) -> Finished:
        return subprocess.run(
            command(*arguments),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=300,
        )

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"question": f"Number {n}?", "answer": f"It is {n}."}) for n in range(30)]
    path.write_text("\n".join([*lines, '{"question": "?"}', "{cut off"]))
    return path


def test_the_report_has_the_keys_that_scripts_use(cli: Cli, rows: Path) -> None:
    said = cli("data", "demo", "--set", f"data.source={rows}", "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["source"] == str(rows)
    assert found["format"] == "question_answer"
    assert found["columns"] == {"prompt": "question", "completion": "answer"}
    assert (found["rows"], found["kept"]) == (32, 30)
    assert found["dropped"] == {"no answer": 1, "not JSON": 1}
    assert {"p50", "p90", "p99", "max"} <= found["tokens"].keys()
    assert found["truncated_share"] == 0
    assert 0 < found["trained_share"] < 1
    assert all(isinstance(text, str) for text in found["warnings"])
    assert len(runs.list_runs(locations.reports_folder())) == 1
    assert runs.list_runs() == []


def test_the_report_reads_well_too(cli: Cli, rows: Path) -> None:
    said = cli("data", "demo", "--set", f"data.source={rows}").stdout
    assert "question_answer: prompt=question, completion=answer" in said
    assert "1 of 32 rows left out: not JSON (rows.jsonl:32:2)." in said


def test_data_without_a_row_to_train_on_is_a_failure(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question": "?", "answer": ""}\n')
    said = cli("data", "demo", "--set", f"data.source={path}", "--json")
    assert said.returncode == 1
    assert json.loads(said.stdout)["dropped"] == {"empty answer": 1}


@pytest.mark.parametrize("as_json", [True, False])
def test_data_that_cannot_be_read_is_one_clear_message(
    cli: Cli, tmp_path: Path, as_json: bool
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"frage": "?"}\n')
    said = cli("data", "demo", "--set", f"data.source={path}", *["--json"] * as_json)
    assert said.returncode == 1
    words = said.stdout if as_json else said.stderr
    assert "The columns frage do not fit any known format" in words
    assert "data.columns" in words
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["data", "nope"],
        ["check", "nope"],
        ["data", "demo", "--set", "data.source=gone.jsonl"],
        ["check", "demo", "--set", "lora.r=0"],
        ["train", "demo", "--set", "engine.device=cpu", "--set", "model.load_in_4bit=true"],
    ],
)
def test_bad_input_starts_nothing(cli: Cli, arguments: list[str]) -> None:
    said = cli(*arguments)
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert runs.list_runs() == runs.list_runs(locations.reports_folder()) == []


def test_a_check_says_what_it_looked_at(cli: Cli) -> None:
    said = cli("check", "demo", "--quick", "--json")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert found["ok"]
    assert [item["name"] for item in found["items"]] == [
        *("preset", "model", "tokenizer", "data", "mask", "disk", "memory", "export")
    ]
    for item in found["items"]:
        assert {"name", "status", "detail", "remedy"} <= item.keys()


def test_a_red_check_has_status_1_and_a_remedy(cli: Cli) -> None:
    said = cli("check", "demo", "--quick", "--set", "model.name_or_path=nobody/nothing")
    assert said.returncode == 1
    assert "red     model      nobody/nothing is not on this machine" in said.stdout
    assert "name a local folder" in said.stdout


def has_looked(job: runs.Run) -> bool:
    return job.events.exists() and '"looking"' in job.events.read_text("utf-8")


@pytest.fixture
def checking(rows: Path) -> Iterator[tuple[subprocess.Popen[str], runs.Run]]:
    """A check that is under way, and its job."""
    arguments = ("check", "demo", "--set", f"data.source={rows}")
    waiting = subprocess.Popen(
        command(*arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
    )
    reports = locations.reports_folder()
    wait_until(lambda: bool(runs.list_runs(reports)), 180, "the job's folder")
    (job,) = runs.list_runs(reports)
    wait_until(lambda: runs.is_alive(job), 180, "the job's start")
    yield waiting, job
    waiting.communicate(timeout=180)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_ends_the_verb_ends_its_job(
    checking: tuple[subprocess.Popen[str], runs.Run], number: signal.Signals
) -> None:
    waiting, job = checking
    wait_until(lambda: has_looked(job), 180, "the first look")
    os.kill(waiting.pid, number)
    wait_until(lambda: not runs.is_alive(job), 180, "the job's end")
    assert waiting.wait(timeout=180) != 0
    assert '"finished"' not in job.events.read_text("utf-8")  # it did not just come to its end


def test_a_check_whose_engine_is_killed_says_so(
    checking: tuple[subprocess.Popen[str], runs.Run],
) -> None:
    waiting, job = checking
    wait_until(lambda: has_looked(job), 180, "the first look")
    control.kill(job)
    said, _ = waiting.communicate(timeout=180)
    assert waiting.returncode == 1
    assert said.startswith("red     preset")
    assert "Check again." in said
