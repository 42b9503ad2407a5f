"""Run directories, their states, and the documents made of them."""

import errno
import fcntl
import json
import math
import os
import re
import threading
from functools import reduce
from pathlib import Path

import pytest

from lora_tui.core import events, files, locations, references, runs, states, summary
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.series import sparkline
from lora_tui.core.summary import headline


def make(name: str = "r16") -> Run:
    return runs.create(Preset(name="p"), name=name, command="lora-tui train p")


def test_a_new_run_is_private_named_by_time_and_complete() -> None:
    run, again = make("My Run/../x"), make("My Run/../x")
    assert re.fullmatch(r"\d{8}-\d{4}-my-run-..-x", run.id) and again.id == f"{run.id}-2"
    assert run.path.parent == locations.runs_folder()
    assert run.path.stat().st_mode & 0o077 == 0 and locations.home().stat().st_mode & 0o077 == 0
    info = runs.read_info(run)
    assert (
        info["name"] == "My Run/../x"
        and info["kind"] == "train"
        and info["command"] == "lora-tui train p"
    )
    assert states.state_of(None, alive=False) == "stopped"  # it never began
    assert states.state_of(None, alive=False, waits=True) == "queued"


def test_a_run_is_whole_from_the_first_moment_it_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[Run]] = []
    write = files.write_atomically

    def watched(path: Path, text: str) -> None:
        write(path, text)
        seen.append(runs.list_runs())

    monkeypatch.setattr(runs, "write_atomically", watched)
    run = make()
    assert seen == [[], []] and runs.list_runs() == [run]
    left = run.path.with_name(".left.new")
    left.mkdir()
    make()
    assert left.is_dir()  # it may be another's, at work
    os.utime(left, (0, 0))
    make()
    assert not left.exists()


def test_facts_are_not_added_to_what_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    run = make()
    before = run.info.read_text()

    def unreadable(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(Path, "read_text", unreadable)
        with pytest.raises(OSError, match="Input/output"):
            runs.add_to_info(run, fact=1)
    assert run.info.read_text() == before
    runs.add_to_info(run, fact=1)
    assert runs.read_info(run) == {**json.loads(before), "fact": 1}


def test_no_merge_gets_the_id_of_a_run():
    """Both are named by it: else deleting the one would delete the other."""
    run = runs.create(Preset(), name="r8")
    merge = runs.create(Preset(), name="r8", kind="merge")
    assert merge.id != run.id and runs.create(Preset(), name="r8").id not in {run.id, merge.id}


def test_ten_runs_of_one_name_stay_in_order() -> None:
    made = [make() for _ in range(11)]
    assert runs.list_runs() == made[::-1]


@pytest.mark.parametrize(
    ("kinds", "alive", "state"),
    [
        ([], False, "stopped"),
        ([], True, "starting"),
        (["launched"], True, "starting"),
        (["launched"], False, "crashed"),
        (["launched", "started", "model"], True, "starting"),
        (["launched", "started", "eval"], True, "running"),
        (["launched", "step", "checkpoint"], True, "running"),
        (["launched", "step"], False, "crashed"),
        (["launched", "step", "stopping", "step", "checkpoint"], True, "stopping"),
        (["launched", "step", "stopping", "stopped"], True, "stopped"),
        (["launched", "failed", "stopping"], False, "failed"),
        (["launched", "step", "paused"], True, "paused"),
        (["launched", "step", "paused", "resumed"], True, "running"),
        (["launched", "step", "paused", "stopping", "resumed"], True, "stopping"),
        (["launched", "finished"], False, "finished"),
        (["launched", "failed", "launched"], True, "starting"),
        (["launched", "stopped", "launched", "step"], False, "crashed"),
        (["launched", "step", "heard-of-tomorrow"], True, "running"),
    ],
)
def test_events_and_lock_add_up_to_a_state(kinds: list[str], alive: bool, state: str) -> None:
    assert states.state_of(reduce(states.told, kinds, None), alive=alive) == state


def test_a_held_lock_is_life_and_a_live_run_is_not_deleted() -> None:
    run = make()
    assert not runs.is_alive(run)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert runs.is_alive(run)
        with pytest.raises(LoraTuiError, match="still running"):
            runs.delete(run)
    assert not runs.is_alive(run)
    runs.delete(run)
    assert not run.path.exists() and runs.list_runs() == []


def test_only_whole_checkpoints_count() -> None:
    run = make()
    assert runs.checkpoint_steps(run) == []
    for name, whole in (
        ("checkpoint-20", True),
        ("checkpoint-5", True),
        ("checkpoint-30", False),
        ("junk", True),
    ):
        folder = run.checkpoints / name
        folder.mkdir(parents=True)
        if whole:
            (folder / "trainer_state.json").write_text("{}")
    assert runs.checkpoint_steps(run) == [5, 20]


def test_show_has_every_promised_key_and_survives_missing_files() -> None:
    run = make()
    promised = {
        *(
            "id",
            "name",
            "kind",
            "state",
            "preset",
            "model",
            "device",
            "backend",
            "created",
            "ended",
            "step",
        ),
        *(
            "max_steps",
            "loss",
            "eval_loss",
            "trainable_parameters",
            "total_parameters",
            "adapter_bytes",
        ),
        *("peak_memory_bytes", "seconds_per_step", "tokens_per_second", "failure", "paths"),
    }
    assert promised <= set(summary.show(run))
    for path in (run.preset, run.info):
        path.unlink()
    run.events.write_bytes(b"\x00\xff garbage\n")
    document = summary.show(run)
    assert (
        document["preset"] is None and document["name"] == run.id and document["state"] == "stopped"
    )
    json.dumps(document)


def test_a_crash_and_a_failure_are_explained() -> None:
    crashed, failed = make("a"), make("b")
    events.append(crashed.events, "launched", pid=1)
    events.append(failed.events, "launched", pid=1)
    events.append(failed.events, "failed", summary="Out of memory.", hint="Halve the batch.")
    assert (
        summary.show(crashed)["state"] == "crashed"
        and summary.show(crashed)["failure"] == summary.CRASHED
    )
    assert summary.show(failed)["failure"] == {
        "summary": "Out of memory.",
        "hint": "Halve the batch.",
    }
    assert summary.headline(failed).failure == summary.show(failed)["failure"]


def test_the_headline_of_a_long_run_agrees_with_all_its_events() -> None:
    run = make()
    events.append(run.events, "launched", pid=1)
    events.append(run.events, "data", max_steps=3000)
    with run.events.open("a") as file:
        for step in range(1, 3001):
            file.write(
                json.dumps({"t": 2e9 + step, "kind": "step", "step": step, "loss": 3000 / step})
                + "\n"
            )
    events.append(run.events, "finished", step=3000, max_steps=3000)
    line, whole = summary.headline(run), summary.read_snapshot(run)
    assert (
        (line.step, line.max_steps, line.loss)
        == (whole.step, whole.max_steps, whole.loss)
        == (3000, 3000, 1.0)
    )
    assert line.state == "finished" and not line.is_live and line.curve[0][1] > line.curve[-1][1]
    assert len(line.curve) > 8


def test_nothing_is_created_by_asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "none"))
    assert runs.list_runs() == [] and list(tmp_path.iterdir()) == []
    monkeypatch.delenv("LORA_TUI_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert locations.home() == tmp_path / "lora-tui"


def test_a_home_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LORA_TUI_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(LoraTuiError, match="No run directory can be made"):
        make()


def test_names_of_any_length_find_a_free_number() -> None:
    name = "a" * 60
    for _ in range(12):
        made = make(runs.free_name(name))
        assert references.find(made.id) == made
    assert len({run.id for run in runs.list_runs()}) == 12


def test_a_reader_does_not_keep_a_run_from_being_deleted() -> None:
    run = make("p")
    run.lock.touch()
    with run.lock.open() as reader:
        fcntl.flock(reader, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (reader, fcntl.LOCK_UN)).start()
        runs.delete(run)
    assert not run.path.exists()


def test_a_long_run_of_nan_has_a_headline_without_them() -> None:
    run = make("p")
    for step in range(3000):
        events.append(run.events, "step", step=step, loss=math.nan if step % 2 else math.inf)
    assert headline(run).curve == ()
    assert sparkline(headline(run).curve, 7) == ""
