"""`chat` with a script in the engine's place, and the words it says."""

import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui.cli_chat_host import Host
from lora_tui.cli_chat_words import Printing, about, ends, together
from lora_tui.core import locations, runs
from lora_tui.core.chat import END_OF_TURN, MAX_NEW_TOKENS, UNANSWERED, Answer, Chat, Turn
from lora_tui.core.chat_folding import Folding
from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.errors import BadInput
from lora_tui.core.members import BASE, Member, of_base
from lora_tui.core.presets import Preset
from tests.adapters import write_adapter
from tools.terminal import Terminal

SCRIPT = """
import json, os, sys
folder = sys.argv[4]
def tell(kind, **fields):
    with open(os.path.join(folder, "events.jsonl"), "a") as file:
        file.write(json.dumps({"t": 0, "kind": kind, **fields}) + chr(10))
def attach(member):
    if member["name"] == "broken":
        tell("refused", id=member["id"], summary="It is broken.", hint="Copy it again.")
    else:
        tell("attached", id=member["id"], milliseconds=1.0, warnings=[])
        tell("used", id=member["id"], milliseconds=1.0)
with open(os.path.join(folder, "run.json")) as file:
    members = {member["id"]: member for member in json.load(file)["options"]["members"]}
tell("loaded", id="base", seconds=0.1, dtype="float32")
for member in [*members.values()][1:]:
    attach(member)
tell("ready")
for line in sys.stdin:
    print(line, end="", flush=True)  # into engine.log
    request = json.loads(line)
    if request["do"] == "use":
        attach(members[request["id"]])
        tell("ready")
    elif request["do"] == "ask":
        asked = dict(number=request["number"], id=request["to"][0])
        tell("asked", number=request["number"], to=request["to"], prompt="?")
        tell("piece", **asked, text="on and on")
    elif LISTENS:
        tell("answered", **asked, text="on and on", tokens=3, seconds=1.0, ended="cancelled")
        tell("ready")
"""


@pytest.fixture
def scripted(tmp_path: Path) -> Callable[..., list[str]]:
    """A command line that starts a script for an engine: it answers without end until cancelled."""

    def with_script(*arguments: str, listens: bool = True) -> list[str]:
        script = tmp_path / "engine"
        script.write_text(f"#!{sys.executable}\nLISTENS = {listens}\n{SCRIPT}")
        script.chmod(0o755)
        code = (
            f"import sys; sys.executable = {str(script)!r}; from lora_tui.cli import main; main()"
        )
        return [sys.executable, "-c", code, "chat", *arguments]

    return with_script


@pytest.fixture
def adapters(tmp_path: Path) -> dict[str, str]:
    return {name: str(write_adapter(tmp_path / name)) for name in ("one", "broken")}


def test_without_anybody_to_ask_it_fails_and_says_whom_it_competes_with(
    scripted: Callable[..., list[str]], adapters: dict[str, str]
) -> None:
    live = runs.create(Preset(name="tuning"), name="tuning")
    with live.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        said = subprocess.run(
            scripted(adapters["broken"]), input="Hello\n", capture_output=True, text=True
        )
    assert (said.returncode, said.stdout) == (1, "")
    competing, loaded, *rest = said.stderr.splitlines()
    assert competing.startswith("! tuning is running on this machine.")
    assert loaded.startswith("demo: float32")
    assert rest == [
        *("! broken: It is broken.", "Copy it again."),
        *("None of these can be attached.", "Why is said with each."),
    ]


def test_one_who_is_refused_does_not_answer_and_nobody_else_instead(
    scripted: Callable[..., list[str]], adapters: dict[str, str]
) -> None:
    command = scripted(adapters["broken"], adapters["one"])
    said = subprocess.run(command, input="/1\nHello\n", capture_output=True, text=True)
    assert (said.returncode, said.stdout) == (1, "")
    assert "one answers, swapped in 1.0 ms" in said.stderr
    assert said.stderr.endswith("broken cannot answer.\nThe others go on.\n")


@pytest.mark.parametrize("listens", [True, False])
def test_ctrl_c_ends_an_answer_and_twice_the_chat(
    scripted: Callable[..., list[str]], adapters: dict[str, str], listens: bool
) -> None:
    asked = ("--system", "Be brief.", "--seed", "3", "--top-p", "0.5")
    command = scripted(adapters["one"], adapters["broken"], *asked, listens=listens)
    with Terminal(command) as terminal:
        terminal.wait_for("\none>")
        terminal.press("/2\r")
        terminal.wait_for("broken cannot answer.")  # and the chat goes on
        terminal.press("Hello\r")
        terminal.wait_for("\non and on")
        terminal.press("\x03")
        if listens:
            terminal.wait_for("(one: cancelled)\none>")
        else:  # only its engine shows that it was heard: two at once would count as one
            (run,) = runs.list_runs(locations.reports_folder())
            assert terminal.pump(180, lambda: '"cancel"' in run.log.read_text())
        terminal.press("\x03")
        assert terminal.wait_for_end() == 128 + signal.SIGINT
        assert "Traceback" not in terminal.text
    (run,) = runs.list_runs(locations.reports_folder())
    assert not runs.is_alive(run)
    use, refused, ask, cancel = map(json.loads, run.log.read_text().splitlines())
    assert [use["id"], refused["id"]] == [adapters["one"], adapters["broken"]]
    assert ask["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]
    assert ask["settings"] == {"temperature": 0, "top_p": 0.5, "seed": 3, "max_new_tokens": 256}
    assert cancel == {"do": "cancel"}


# --- words ------------------------------------------------------------------------------------

ONE = Member("one", "one", "lora", "/one", "demo")
MEMBERS = [of_base(ONE), ONE]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/2", "There is no member 2."),
        ("/9999999", "There is no command /9999999."),
        ("/\u0661", "There is no command"),
        ("/", "There is no command /."),
        ("/etc/passwd", "begin with a space"),
        ("/new\nand more", "Nothing can stand behind /new."),
        ("/all", "/all asks nothing."),
        ("/all  ", "/all asks nothing."),
        ("/quit now", "Nothing can stand behind /quit."),
    ],
)
def test_what_is_no_command_does_nothing(line: str, words: str) -> None:
    host = Host(Folding(MEMBERS), ChatSettings(), to_all=False, prints=True, is_person=True)
    with pytest.raises(BadInput) as refused:
        host.hear(line)  # there is no engine that could do anything
    assert words in str(refused.value)


def test_answers_are_printed_in_order_and_obeyed_by_no_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printing = Printing(["a", "b", "c"], ["A: ", "B: ", "C: "])

    def go_on(**answers: Answer) -> str:
        printing.go_on(Turn(1, "?", ("a", "b", "c"), answers))
        return capsys.readouterr().out

    b = Answer("second", END_OF_TURN)
    assert go_on(b=b) == ""
    assert go_on(a=Answer("fir"), b=b) == "A: fir"
    assert go_on(a=Answer("first\x1b[2J\r"), b=b) == "st\ufffd[2J\ufffd"
    lost = Answer("", UNANSWERED)
    assert go_on(a=Answer("first\x1b[2J\r!", END_OF_TURN), b=b, c=lost) == "!\nB: second\n"


def test_what_went_wrong_is_said_of_each() -> None:
    failure = {"summary": "No memory.", "hint": "Ask less."}
    answers = {
        BASE: Answer("x", MAX_NEW_TOKENS, mixed=True),
        "one": Answer("", UNANSWERED, failure=failure),
    }
    chat = Chat(seats=Folding(MEMBERS).now.seats, loaded={"dtype": "bfloat16"})
    turn = Turn(1, "?", (BASE, "one"), answers)
    assert list(ends(chat, turn)) == [
        "(base: cut off by --max-new-tokens)",
        "! one: No memory.\nAsk less.",
    ]
    assert together(chat, turn) == "one mixed batch, not exact in bfloat16"
    assert together(chat, Turn(1, "?", (BASE, "one"))) == "one after another"
    assert together(chat, Turn(1, "?", (BASE,))) == ""
    attached = {"kind": "attached", "id": "one", "milliseconds": 3.04, "warnings": ["It is zero."]}
    assert about(chat, attached) == "one attached in 3.0 ms\n! one: It is zero."
    assert about(chat, {"kind": "news"}) == ""
