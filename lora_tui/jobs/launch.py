"""Starting an engine: a process of its own that outlives the terminal and the app."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any, TypeVar

from lora_tui.core import events, locks, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.events import Event, figure
from lora_tui.core.locations import home, is_hub_id, jobs_folder, local_path, reports_folder
from lora_tui.core.preset_files import changed, load
from lora_tui.core.presets import Preset, is_demo
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control, machine

KEPT_REPORTS = 10

_OF_MEMBERS = frozenset({"compare", "merge", "export"})
"""Whose preset is made for them: what it names and is not there, their engine says."""

Launched = TypeVar("Launched")


def launch(run: Run, verb: str = "train") -> int:
    """Start `python -m lora_tui.engine VERB DIRECTORY` detached, and return its process id.

    The lock is taken here and inherited, so there is no moment in which the run looks dead, and no
    second engine can start.

    Raises:
        LoraTuiError: the run is alive already, or the process cannot be started.
    """
    return _launch(run, verb).pid


def _launch(
    run: Run,
    verb: str,
    stdin: int = subprocess.DEVNULL,  # or it would take the app's keys
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    try:
        with run.lock.open("a") as lock, run.log.open("ab") as log:
            _take(lock.fileno(), run)
            _note_launch(run)
            return _spawn(run, verb, lock.fileno(), log, stdin=stdin, environment=environment or {})
    except OSError as error:
        raise LoraTuiError(
            f"The engine did not start: {error}.", "Are memory and room on the disk left?"
        ) from error


def _spawn(
    run: Run,
    verb: str,
    lock: int,
    log: IO[bytes],
    *,
    stdin: int,
    environment: Mapping[str, str],
) -> subprocess.Popen[bytes]:
    # A request to stop waits until the engine listens for it, and is not lost before.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        engine = subprocess.Popen(
            [sys.executable, "-m", "lora_tui.engine", verb, str(run.path)],
            cwd=run.path,
            stdin=stdin,
            stdout=log,
            stderr=subprocess.STDOUT,  # a file: an unread pipe would block it one day
            start_new_session=True,  # or a dropped connection would end it
            pass_fds=[lock],
            env={
                **os.environ,
                **environment,
                "PYTHONUNBUFFERED": "1",
                "PYTHONSAFEPATH": "1",
                "LORA_TUI_HOME": str(home()),
            },
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    threading.Thread(target=engine.wait, daemon=True).start()  # no zombie when it ends
    try:
        locks.sign(lock, engine.pid)
        events.append(run.events, "launched", pid=engine.pid, host=platform.node(), verb=verb)
    except OSError:
        engine.kill()  # nobody could see or stop it
        engine.wait()
        raise
    return engine


def _note_launch(run: Run) -> None:
    """Write into `run.json` when this engine starts, and how long those before it worked."""
    info = runs.read_info(run)
    before, spent = figure(info.get("launched")), figure(info.get("spent")) or 0.0
    last = last_at_work(events.read_ends(run.events)[1])
    if before is not None and last is not None:
        spent += max(0.0, last - before)
    runs.add_to_info(run, launched=time.time(), spent=spent)


def last_at_work(said: Sequence[Event]) -> float | None:
    """When an engine last worked, by its latest events: what it waited in the end is no work."""
    last, is_paused = None, False
    for event in said:
        if not is_paused or event["kind"] in {"resumed", "launched"}:
            last, is_paused = figure(event.get("t")), event["kind"] == "paused"
    return last


def _take(lock: int, run: Run) -> None:
    try:
        locks.take(lock)
    except BlockingIOError as error:
        raise LoraTuiError(
            f"{run.id} is running already.", f"Watch it: lora-tui watch {run.id}"
        ) from error
    if not run.lock.exists() or os.fstat(lock).st_ino != run.lock.stat().st_ino:
        raise LoraTuiError(f"{run.id} has just been deleted.")


def start(
    preset: Preset,
    *,
    name: str = "",
    command: str = "",
    kind: str = "train",
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Create a run of `preset`, or a job of another kind, and launch its engine.

    Raises:
        LoraTuiError: a file the preset names is missing, this machine cannot do what it says, or
            the run cannot be made or started.
    """
    return _start(preset, launch, name=name, command=command, kind=kind, options=options)[0]


def converse(
    preset: Preset,
    *,
    name: str,
    kind: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> tuple[Run, subprocess.Popen[bytes]]:
    """As `start`, but the engine is told what to do through its standard input, a pipe.

    The pipe ends when this process does, whatever ends it, and the engine ends with the pipe.
    `environment` are more variables for the engine's own.

    Raises:
        LoraTuiError: as `start`.
    """

    def launched(run: Run, verb: str) -> subprocess.Popen[bytes]:
        return _launch(run, verb, subprocess.PIPE, environment)

    return _start(preset, launched, name=name, command="", kind=kind, options=options)


def _start(
    preset: Preset,
    launched: Callable[[Run, str], Launched],
    *,
    name: str,
    command: str,
    kind: str,
    options: Mapping[str, Any] | None,
) -> tuple[Run, Launched]:
    if kind == "train":
        machine.refuse(preset)
    if jobs_folder(kind) == reports_folder():
        _make_room(kind)
    if kind not in _OF_MEMBERS:
        preset = located(preset)
    run = runs.create(preset, name=name, command=command, kind=kind, options=options)
    return run, _begin(run, kind, launched)


def _begin(run: Run, verb: str, launched: Callable[[Run, str], Launched]) -> Launched:
    """Launch the first engine of a new run; one that cannot be launched leaves no run behind.

    Raises:
        LoraTuiError: as `launch`.
    """
    try:
        return launched(run, verb)
    except LoraTuiError:
        with suppress(LoraTuiError):  # what went wrong first is what the user has to know
            runs.delete(run)  # it would wait in the list for ever
        raise


def _make_room(kind: str) -> None:
    """Remove old reports of a kind, so that there is room for a new one: nobody looks at them."""
    found = runs.list_runs(reports_folder())
    same = [run for run in found if runs.read_info(run).get("kind") == kind]
    for old in same[KEPT_REPORTS - 1 :]:
        with suppress(LoraTuiError):  # it is still at work
            runs.delete(old)


def resume(run: Run) -> None:
    """Let a paused run go on, or restart one that ended from its last complete checkpoint.

    Raises:
        LoraTuiError: it is at work already, or it ended as planned.
    """
    if runs.is_alive(run):
        if control.go_on(run):
            return
        raise LoraTuiError(f"{run.id} is running already.", f"Watch it: lora-tui watch {run.id}")
    if headline(run).state == "finished":
        raise LoraTuiError(
            f"{run.id} is finished; there is nothing to resume.", "Train it anew for more steps."
        )
    load(run.preset)
    control.go_on(run)
    launch(run, "resume")


def located(preset: Preset) -> Preset:
    """`preset` with local paths made absolute: the engine runs in another folder.

    Raises:
        LoraTuiError: a path it names does not exist.
    """
    name, source = preset.model.name_or_path, preset.data.source
    sources = [_located("data.source", item) for item in preset.data.sources]
    changes = {
        "model.name_or_path": _located("model.name_or_path", name),
        "data.source": sources[0] if isinstance(source, str) else sources,
    }
    return changed(preset, changes)


def _located(key: str, name: str) -> str:
    if is_demo(name):
        return name
    if path := local_path(name):
        return str(path)
    if not is_hub_id(name.partition(":")[0] if key == "data.source" else name):
        raise BadInput(f'{key}: there is no "{name}".', "Correct the path in the preset.")
    return name
