"""Talking with an engine: requests in order, an engine that is gone, hangs, or outlives nobody."""

import fcntl
import json
import platform
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import hardware, locations, members, preset_files, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import BASE, Member
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import control, talk
from lora_tui.jobs.talk import Talk
from tools.terminal import wait_until

REPOSITORY = Path(__file__).parents[2]
ONE, TWO = (Member(id_, id_, "lora", f"/{id_}", "demo") for id_ in ("one", "two"))

LISTENING = """
import os, sys
with open(os.path.join(sys.argv[4], "heard"), "ab", buffering=0) as heard:
    heard.write(f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads\\n".encode())
    for line in sys.stdin.buffer:
        heard.write(line)
    heard.write(b"end\\n")
"""
DEAF = "import time\nwhile True:\n    time.sleep(60)\n"
ENDED = ""

Engine = Callable[[str], None]


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Puts a script in the engine's place."""

    def put(code: str) -> None:
        script = tmp_path / "engine"
        script.write_text(f"#!{sys.executable}\n{code}")
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))

    return put


def heard(run: Run) -> list[str]:
    path = run.path / "heard"
    return path.read_text().splitlines() if path.exists() else []


def requests(run: Run) -> list[dict[str, Any]]:
    return [json.loads(line) for line in heard(run) if line.startswith("{")]


@contextmanager
def held(kind: str, name: str, host: str = "") -> Iterator[Run]:
    """A job that is alive, on this machine or on another that shares the folder."""
    run = runs.create(Preset(name=name), name=name, kind=kind)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{host or platform.node()} 2\n")
        lock.flush()
        yield run


# --- who is talked to --------------------------------------------------------------------------


def test_the_base_stands_first_and_everybody_once() -> None:
    table = talk.table_of([ONE, TWO, ONE, members.of_base(ONE)])
    assert [member.id for member in table] == [BASE, "one", "two"]
    assert [member.id for member in talk.table_of([members.of_base(ONE)])] == [BASE]


def test_members_of_several_bases_are_refused_by_name() -> None:
    other = Member("other", "other", "lora", "/other", "someone/model")
    with pytest.raises(BadInput, match="of 2 bases") as refused:
        Talk([ONE, other, TWO])
    for words in ("  demo: one, two\n", "  someone/model: other\n", "Name those of one base"):
        assert words in str(refused.value)
    assert runs.list_runs(locations.reports_folder()) == []


def test_nobody_can_be_talked_to() -> None:
    with pytest.raises(BadInput, match="nobody to talk to"):
        talk.table_of([])


def test_the_base_is_loaded_as_the_run_loaded_it_but_without_its_data(tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text("{}\n")
    settings = (f"data.source={data}", "model.dtype=float32", "engine.device=cpu")
    run = runs.create(preset_files.with_settings(preset_files.find("demo"), settings), name="r")
    run.adapter.mkdir()
    data.unlink()
    preset = talk.preset_of(talk.table_of([members.of_run(run)]))
    assert (preset.model.name_or_path, preset.data.source) == ("demo", Preset().data.source)
    assert preset.engine.backend == "transformers"


# --- requests ----------------------------------------------------------------------------------


def test_requests_arrive_in_order_and_the_end_after_them(engine: Engine) -> None:
    engine(LISTENING)
    messages = [{"role": "user", "content": "naïve\n\N{LLAMA} \ud800"}]  # half a pair, too
    with Talk([ONE, TWO]) as chat:
        chat.use("one")
        chat.ask(1, ["one"], messages, {"seed": 3})
        chat.ask(2, [BASE, "one"], {BASE: messages, "one": []}, {})
        chat.cancel()
    assert requests(chat.run) == [
        {"do": "use", "id": "one"},
        {"do": "ask", "number": 1, "to": ["one"], "messages": messages, "settings": {"seed": 3}},
        {
            **{"do": "ask", "number": 2, "to": [BASE, "one"], "settings": {}},
            "messages": {BASE: messages, "one": []},
        },
        {"do": "cancel"},
    ]
    assert heard(chat.run)[-1] == "end"
    assert not runs.is_alive(chat.run)


def test_its_folder_is_a_report_that_names_who_is_there(engine: Engine) -> None:
    engine(LISTENING)
    with Talk([ONE]) as chat:
        assert chat.run.path.parent == locations.reports_folder()
        info = runs.read_info(chat.run)
        assert info["kind"] == "chat"
        documents = info["options"]["members"]
        assert [Member.from_document(document) for document in documents] == chat.members
        assert [seat.id for seat in chat.folding().now.seats] == [BASE, "one"]
    assert runs.list_runs() == []


def test_nothing_can_be_asked_of_an_engine_that_is_gone(engine: Engine) -> None:
    engine(ENDED)
    with Talk([ONE]) as chat:
        assert control.wait_until_dead(chat.run, 30)
        wait_until(lambda: chat._engine.poll() is not None, 180, "the engine did not end")
        calls: list[Callable[[], None]] = [
            lambda: chat.use("one"),
            lambda: chat.ask(1, ["one"], [], {}),
            chat.cancel,
        ]
        for call in calls:
            with pytest.raises(LoraTuiError, match="died without a word") as gone:
                call()
            assert "engine.log" in gone.value.hint
        assert chat.folding().gone().state == "failed"
        chat.close()
        chat.close()


def test_an_engine_that_does_not_listen_holds_nobody_up_and_is_killed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk, "_GRACE", 0.2)
    engine(DEAF)
    with Talk([ONE]) as chat:
        for _ in range(8):  # far more than a pipe holds
            chat.ask(1, ["one"], [{"role": "user", "content": "x" * 100_000}], {})
        assert runs.is_alive(chat.run)
    assert not runs.is_alive(chat.run)
    assert chat._engine.returncode == -signal.SIGKILL


def test_closing_waits_for_nothing(engine: Engine) -> None:
    engine(DEAF)
    chat = Talk([ONE])
    chat.close()
    assert runs.is_alive(chat.run)
    control.kill(chat.run)
    assert control.wait_until_dead(chat.run, 30)


def test_an_engine_ends_with_who_started_it_even_by_kill_9(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, own_home: Path
) -> None:
    python = sys.executable
    engine(LISTENING)
    code = (
        "import sys, time; from lora_tui.core.members import Member\n"
        f"sys.executable = {sys.executable!r}\n"
        "from lora_tui.jobs.talk import Talk\n"
        "chat = Talk([Member('one', 'one', 'lora', '/one', 'demo')])\n"
        "print(chat.run.path, flush=True); time.sleep(600)"
    )
    command = [python, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY, text=True) as owner:
        assert owner.stdout is not None
        run = Run(Path(owner.stdout.readline().strip()))
        wait_until(lambda: bool(heard(run)), 180, "the engine did not start")
        assert runs.is_alive(run)
        owner.kill()
    assert control.wait_until_dead(run, 30)
    assert heard(run)[-1] == "end"


# --- rivals ------------------------------------------------------------------------------------


def test_live_jobs_that_compute_on_this_machine_are_rivals() -> None:
    runs.create(Preset(name="ended"), name="ended")
    assert talk.rivals() == []
    assert talk.rivalry([ONE]) == ""
    with (
        held("train", "tuning"),
        held("compare", "r4-r8"),
        held("merge", "both"),
        held("export", "one"),
        held("check", "short"),
        held("train", "far", "elsewhere"),
    ):
        assert [line.name for line in talk.rivals()] == [
            "tuning",
            "the comparison of r4-r8",
            "the merge of both",
            "the export of one",
        ]
        assert "tuning and 3 more are running on this machine" in talk.rivalry([ONE])


@pytest.mark.parametrize(
    ("set_before", "beside", "expected"),
    [
        (None, True, "4"),
        ("6,2", True, "4"),
        ("2", True, "2"),
        ("many", True, "4"),
        ("6", False, "6"),
    ],
)
def test_beside_a_run_the_engine_takes_half_of_the_cores(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    set_before: str | None,
    beside: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(hardware, "usable_cores", lambda: 8)
    monkeypatch.setattr(talk, "_on_gpu", lambda _: False)
    if set_before is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", set_before)
    engine(LISTENING)
    if beside:
        with held("train", "tuning"), Talk([ONE]) as chat:
            pass
    else:
        with Talk([ONE]) as chat:
            pass
    assert heard(chat.run)[0] == f"{expected} threads"
