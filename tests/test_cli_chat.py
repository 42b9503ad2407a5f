"""`chat` as people and scripts use it."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from lora_tui.core import events, locations, runs
from lora_tui.core.chat import (
    MAX_NEW_TOKENS,
    UNANSWERED,
)
from lora_tui.core.members import BASE
from lora_tui.core.runs import Run
from lora_tui.jobs import control
from tests.adapters import write_adapter
from tools.terminal import APP, Terminal, wait_until

pytestmark = pytest.mark.xdist_group("chat")

FRANCE, PARIS = "What is the capital of France?", "The capital of France is Paris."
LONG = ("--temperature", "10", "--max-new-tokens", "150")
ENDLESS = (*LONG, "--max-new-tokens", "400")
"""Any token is about as likely as another, so an answer hardly ends by itself."""

Finished = subprocess.CompletedProcess[str]
Cli = Callable[..., Finished]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lora_tui", "chat", *arguments]


@pytest.fixture
def cli() -> Cli:
    """Run `lora-tui chat` in a process of its own, with lines for its standard input."""

    def run(*arguments: str, lines: bytes = b"") -> Finished:
        done = subprocess.run(command(*arguments), capture_output=True, input=lines, timeout=300)
        return Finished(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "one", r=2, size=0.8)
    write_adapter(folder / "two", r=4, size=0.8)
    write_adapter(folder / "broken")
    (folder / "broken" / "adapter_model.safetensors").write_bytes(b"nothing")
    write_adapter(folder / "stranger", base="someone/model")
    return {path.name: str(path) for path in folder.iterdir()}


def the_chat() -> Run:
    (run,) = runs.list_runs(locations.reports_folder())
    return run


def told() -> list[dict[str, Any]]:
    return [event for batch in events.batches(the_chat().events) for event in batch]


def is_writing() -> bool:
    return bool(runs.list_runs(locations.reports_folder())) and any(
        event["kind"] == "piece" for event in told()
    )


# --- pipes -------------------------------------------------------------------------------------


def test_from_a_pipe_each_line_is_asked_and_only_answers_are_on_stdout(
    cli: Cli, adapters: dict[str, str]
) -> None:
    lines = [
        *("\ufeff/0", FRANCE, "", "   ", "And of Spain?", "/new", "/2", f" {FRANCE}\r"),
        *("/new", f"/all {FRANCE}", "/help", "/quit", "Is this asked?"),
    ]
    few = ("--max-new-tokens", "24")
    said = cli(adapters["one"], adapters["two"], *few, lines="\n".join(lines).encode())
    assert said.returncode == 0, said.stderr
    answered = [event for event in told() if event["kind"] == "answered"]
    asked = [event["prompt"] for event in told() if event["kind"] == "asked"]
    assert asked == [FRANCE, "And of Spain?", FRANCE, FRANCE]
    assert [event["id"] for event in answered] == [
        *(BASE, BASE, adapters["two"], BASE, adapters["one"], adapters["two"])
    ]
    heads = ["", "", "", "base: ", "one: ", "two: "]
    texts = [event["text"] for event in answered]
    assert said.stdout.splitlines() == [h + text for h, text in zip(heads, texts, strict=True)]
    assert (texts[0], texts[3]) == (PARIS, PARIS)
    assert texts[2] == texts[5] != PARIS  # the same, alone and in a batch
    lengths = [event["prompt_tokens"] for event in answered]
    assert lengths[1] > lengths[0] == lengths[2] == lengths[5]  # only the second went on
    for words in (
        *("demo: float32, loaded in", "one attached in", "one answers, swapped in"),
        *("base answers, swapped in", "two answers, swapped in", "one mixed batch, exact"),
        *("The conversation is forgotten.", "/all TEXT", "/2         two, answers now"),
    ):
        assert words in said.stderr
    assert "Traceback" not in said.stderr
    assert told()[-1]["kind"] == "finished"
    assert not runs.is_alive(the_chat())


def test_json_has_all_that_was_said_even_when_the_engine_is_killed(
    adapters: dict[str, str],
) -> None:
    arguments = ("--json", "--all", adapters["broken"], adapters["one"], *LONG)
    with subprocess.Popen(
        command(*arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(f"Hello\n{'How are you? ' * 200}\nHello\n".encode())
        process.stdin.flush()
        wait_until(
            lambda: is_writing() and any(e["kind"] == "piece" and e["number"] == 3 for e in told()),
            120,
            "nothing was written",
        )
        control.kill(the_chat())
        out, err = process.communicate(timeout=180)
    assert process.returncode == 1
    document = json.loads(out)
    assert document["base"] == "demo"
    broken, one = document["members"]
    assert (broken["id"], broken["name"]) == (adapters["broken"], "broken")
    assert "cannot be read" in broken["refused"]["summary"]
    assert (one["refused"], one["warnings"], broken["attach_milliseconds"]) == (None, [], None)
    assert one["attach_milliseconds"] > 0
    turns = document["turns"]
    assert [(turn["number"], turn["id"]) for turn in turns] == [
        (number, id_) for number in (1, 2, 3) for id_ in (BASE, adapters["one"])
    ]
    whole, too_long, cut = turns[0], turns[2], turns[4]
    assert whole.keys() >= {"prompt", "answer", "tokens", "seconds", "ended"}
    assert (whole["prompt"], whole["ended"], whole["tokens"]) == ("Hello", MAX_NEW_TOKENS, 150)
    assert whole["answer"] != turns[1]["answer"]
    assert (too_long["ended"], too_long["answer"]) == (UNANSWERED, "")
    assert "made for 512" in too_long["failure"]["summary"]
    assert (cut["ended"], cut["failure"]) == (UNANSWERED, document["error"])
    assert cut["answer"]  # what was written stays
    assert "died without a word" in document["error"]["summary"]
    assert b"Traceback" not in err


def test_its_engine_ends_in_mid_answer_when_it_is_killed(adapters: dict[str, str]) -> None:
    with subprocess.Popen(
        command(adapters["one"], *ENDLESS), stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"Hello\n")
        process.stdin.flush()
        wait_until(is_writing, 120, "nothing was written")
        assert runs.is_alive(the_chat())
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert control.wait_until_dead(the_chat(), 60)
    assert "answered" not in {event["kind"] for event in told()}
    assert told()[-1]["kind"] == "finished"


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("lines", [b"", b"\n  \n\xef\xbb\xbf\n"])
def test_without_a_line_nothing_is_asked(
    cli: Cli, adapters: dict[str, str], lines: bytes, as_json: bool
) -> None:
    said = cli(adapters["one"], *["--json"] * as_json, lines=lines)
    assert (said.returncode, said.stderr) == (0, "")
    if as_json:
        document = json.loads(said.stdout)
        assert (document["turns"], document["members"][0]["name"]) == ([], "one")
    else:
        assert said.stdout == ""
    assert runs.list_runs(locations.reports_folder()) == []


@pytest.mark.parametrize(
    ("arguments", "lines", "words"),
    [
        (["nobody"], b"Hello", 'There is no run "nobody"'),
        ([], b"Hello", "nobody to talk to"),
        (["one", "stranger"], b"Hello", "demo: one\n  someone/model: stranger"),
        (["one", "--temperature", "nan", "--seed", "-1"], b"Hello", "seed: -1 is out of range"),
        (["one", "--top-p", "0"], b"Hello", "top_p: 0"),
        (["one"], b"\xff\nHello", "Line 1 of the input is not UTF-8"),
        (["one", "--json"], b"\xff\nHello", "Line 1 of the input is not UTF-8"),
        (["nobody", "--json"], b"Hello", "There is no run"),
    ],
)
def test_bad_input_starts_nothing(
    cli: Cli, adapters: dict[str, str], arguments: list[str], lines: bytes, words: str
) -> None:
    said = cli(*(adapters.get(word, word) for word in arguments), lines=lines)
    assert said.returncode == 2
    if "--json" in arguments:
        assert words in json.loads(said.stdout)["error"]["summary"]
    else:
        assert words in said.stderr
        assert said.stdout == ""
    assert "Traceback" not in said.stderr
    assert runs.list_runs(locations.reports_folder()) == []


# --- people ------------------------------------------------------------------------------------


def test_a_person_swaps_asks_all_and_leaves(adapters: dict[str, str]) -> None:
    arguments = [adapters["one"], adapters["two"], "--max-new-tokens", "12"]
    with Terminal([*APP, "chat", *arguments], size=(100, 60)) as terminal:

        def enter(line: str, prompt: str) -> str:
            """What is on the screen once the line is done with."""
            before = terminal.text.count(f"\n{prompt}>")
            terminal.press(f"{line}\r")
            terminal.wait_for(lambda text: text.count(f"\n{prompt}>") > before)
            return terminal.text

        terminal.wait_for("\none>")
        assert "/help says how to swap" in terminal.text
        assert "base answers, swapped in" in enter("/0", "base")
        assert PARIS in enter(FRANCE, "base").splitlines()
        enter("", "base")
        assert "two answers, swapped in" in enter("/2", "two")
        lines = enter(f"/all {FRANCE}", "two").splitlines()
        assert f"base: {PARIS}" in lines
        assert any(line.startswith("one: ") for line in lines)
        assert "(one mixed batch, exact)" in lines
        assert "There is no command /three." in enter("/three", "two")
        terminal.press("half a line\x03")
        terminal.wait_for("ctrl+c once more ends the chat")
        terminal.press("\x04")
        assert terminal.wait_for_end() == 0
        assert "Traceback" not in terminal.text
    assert told()[-1]["kind"] == "finished"
