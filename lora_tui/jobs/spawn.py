"""Starting an engine: a process of its own that outlives the terminal and the app."""

import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO

from lora_tui.core import events, locks, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event, figure
from lora_tui.core.locations import home
from lora_tui.core.runs import Run


def spawn(
    run: Run,
    verb: str,
    *,
    stdin: int = subprocess.DEVNULL,  # or it would take the app's keys
    environment: Mapping[str, str | None] | None = None,
    inherited: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start `python -m lora_tui.engine VERB DIRECTORY` detached.

    The lock is taken here and inherited, so there is no moment in which the run looks dead, and no
    second engine can start. `inherited` are descriptors of more locks that it holds while it lives;
    `environment` are variables of its own, None for one that it must not have.

    Raises:
        LoraTuiError: the run is alive already, or the process cannot be started.
    """
    try:
        with run.lock.open("a") as lock, run.log.open("ab") as log:
            _take(lock.fileno(), run)
            _note_launch(run)
            return _spawn(
                run,
                verb,
                [lock.fileno(), *inherited],
                log,
                stdin=stdin,
                environment=environment or {},
            )
    except OSError as error:
        raise LoraTuiError(
            f"The engine did not start: {error}.", "Are memory and room on the disk left?"
        ) from error


def _spawn(
    run: Run,
    verb: str,
    locked: Sequence[int],
    log: IO[bytes],
    *,
    stdin: int,
    environment: Mapping[str, str | None],
) -> subprocess.Popen[bytes]:
    own: dict[str, str | None] = {
        **os.environ,
        **environment,
        "PYTHONUNBUFFERED": "1",
        "PYTHONSAFEPATH": "1",
        "LORA_TUI_HOME": str(home()),
    }
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
            pass_fds=locked,
            env={name: value for name, value in own.items() if value is not None},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    threading.Thread(target=engine.wait, daemon=True).start()  # no zombie when it ends
    try:
        locks.sign(locked[0], engine.pid)
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
