"""The user's own command, run by a real shell with the facts of a real run directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_tui.core import config, events, runs
from lora_tui.core.files import private_folder
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import notify
from tools.terminal import wait_until

PRINTS = 'env -0 | grep -z "^LORA_TUI_" > "$LORA_TUI_HOME/told.tmp"; mv told.tmp told'


def set_command(command: str) -> Path:
    """Writes the setting; gives where PRINTS puts what it found."""
    home = private_folder(config.path().parent)
    config.path().write_text(f"[notify]\ncommand = '''{command}'''\n")
    return home / "told"


def found(told: Path) -> dict[str, str]:
    wait_until(told.exists, 180, notify.log().read_text() if notify.log().exists() else "no log")
    lines = told.read_bytes().decode().rstrip("\0").split("\0")
    pairs = (line.removeprefix("LORA_TUI_").partition("=") for line in lines)
    return {name: value for name, _, value in pairs}


def make_run(kind: str, name: str = "r16", **final: Any) -> Run:
    run = runs.create(Preset(name="demo"), name=name)
    events.append(run.events, "launched", pid=1, host="here", verb="train")
    events.append(run.events, "started", max_steps=50)
    events.append(run.events, "eval", step=10, loss=1.5)
    events.append(run.events, "step", step=12, loss=1.25)
    if kind != "crashed":
        events.append(run.events, kind, step=12, **final)
    return run


@pytest.mark.parametrize(
    ("kind", "final", "event"),
    [
        ("finished", {}, "finished"),
        ("stopped", {}, "stopped"),
        ("crashed", {}, "crashed"),
        ("failed", {"summary": "The disk is full.", "hint": "Free some."}, "failed"),
        ("failed", {"summary": "The loss became NaN.", "cause": "diverged"}, "diverged"),
    ],
)
def test_the_command_finds_the_facts_in_its_environment(
    kind: str, final: dict[str, str], event: str
) -> None:
    told = set_command(PRINTS)
    run = make_run(kind, **final)
    notify.ended(run)
    facts = found(told)
    assert facts["EVENT"] == event and facts["STATE"] == kind
    assert (facts["RUN"], facts["NAME"], facts["PATH"]) == (run.id, "r16", str(run.path))
    assert (facts["STEP"], facts["MAX_STEPS"]) == ("12", "50")
    assert (float(facts["LOSS"]), float(facts["EVAL_LOSS"])) == (1.25, 1.5)
    if kind == "failed":
        assert (facts["SUMMARY"], facts["HINT"]) == (final["summary"], final.get("hint", ""))
    else:
        assert bool(facts["SUMMARY"]) == (kind == "crashed")


def test_text_from_elsewhere_is_never_read_by_the_shell() -> None:
    told = set_command(f'echo "$LORA_TUI_NAME $LORA_TUI_SUMMARY"; {PRINTS}')
    odd = "$(touch gone)`touch gone`';touch gone\x1b[2J\n\x07"
    notify.ended(make_run("failed", name=odd, summary=odd))
    facts = found(told)
    assert facts["NAME"] == facts["SUMMARY"] == odd.replace("\x1b", "�").replace("\n\x07", " �")
    assert not (told.parent / "gone").exists()
    assert facts["NAME"] in notify.log().read_text()


def test_an_idle_gpu_is_told_in_the_same_way() -> None:
    told = set_command(PRINTS)
    notify.idle(10)
    facts = found(told)
    assert facts["EVENT"] == "idle" and "10 minutes" in facts["SUMMARY"]
    assert facts["RUN"] == facts["LOSS"] == facts["PATH"] == ""


@contextmanager
def keyboard() -> Iterator[None]:
    """Lets this process read from what never ends, as a terminal does not."""
    (reading, writing), before = os.pipe(), os.dup(0)
    os.dup2(reading, 0)
    yield
    os.dup2(before, 0)
    for handle in (reading, writing, before):
        os.close(handle)


def test_the_command_is_a_session_of_its_own_and_ends_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(notify, "_AT_MOST", 1)
    told = set_command("cat > typed; pwd > here; echo $$ > pid; mv pid told; sleep 1000; date > on")
    with keyboard():
        notify.idle(1)
        wait_until(told.exists, 180, "it did not run")
    home, pid = told.parent, int(told.read_text())
    assert (home / "here").read_text().strip() == str(home)
    assert (home / "typed").read_text() == ""
    with suppress(ProcessLookupError):
        assert os.getsid(pid) != os.getsid(0)
    wait_until(lambda: not psutil.pid_exists(pid), 180, "it did not end")
    assert not (home / "on").exists()


def test_nothing_runs_without_a_command(own_home: Path) -> None:
    assert not notify.is_wanted()
    notify.idle(10)
    assert not notify.log().exists()


@pytest.mark.parametrize("text", ["[notify]\nbel = 1", "[notify]\ncommand = 'exit'"])
def test_nothing_of_it_ever_raises(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_command("")
    config.path().write_text(text)
    assert notify.is_wanted()
    monkeypatch.setenv("PATH", "/nowhere")
    notify.ended(Run(Path("/nowhere/at-all")))
    said = notify.log().read_text()
    assert "Nobody was told" in said and ("bel: unknown" in said or "timeout" in said)


def test_a_run_that_is_at_work_again_is_not_told() -> None:
    set_command(PRINTS)
    run = make_run("crashed")
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        notify.ended(run)
    assert not notify.log().exists()
