"""Starting the processes that share one run, and ending them all as soon as one fails.

What torchrun does on one machine, with its names in the environment. Its own agent gives a process
thirty seconds whatever the reason (too few to save a large model, too many when another one died),
puts each into a session of its own, where a `kill` of the run's process group does not reach it,
does not hand on the run's lock, and opens a port to the network.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import FINAL
from lora_tui.engine import ranks
from lora_tui.engine.stopping import Stopping, StopRequested

_LOOK = 0.05  # seconds
_ECHO = 0.5  # seconds in which a process that lost another one may fail for it
_CAUSES = frozenset({signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
"""What ends a process by itself; with SIGABRT, NCCL ends one that has lost another."""

_REMEDY = (
    "engine.log in the run's folder may say more, and so may `dmesg`: the system ends a process "
    "when memory runs out. Then resume the run from its last checkpoint."
)


class _Process:
    """One of the processes, and what it says as it ends."""

    def __init__(self, verb: str, folder: Path, *, number: int, count: int, meeting: Path) -> None:
        self.number = number
        self._last_word: Mapping[str, Any] | None = None
        self._words, theirs = os.pipe()
        os.set_inheritable(theirs, True)
        # A request to stop waits until the process listens for it, as with every engine.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        try:
            self.engine = subprocess.Popen(
                [sys.executable, "-m", "lora_tui.engine", verb, str(folder)],
                close_fds=False,  # the locks are inherited, so the run lives until all are gone
                env={
                    **os.environ,
                    "RANK": str(number),
                    "WORLD_SIZE": str(count),
                    "LOCAL_RANK": "0",  # each sees one GPU only (torchrun --virtual-local-rank)
                    "LOCAL_WORLD_SIZE": str(count),
                    ranks.MEETING: str(meeting),
                    ranks.WORDS: str(theirs),
                    ranks.PARENT: str(os.getpid()),
                },
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(theirs)

    def close(self) -> None:
        """End it, if it has not ended."""
        self.engine.kill()
        self.engine.wait()
        os.close(self._words)

    @property
    def has_ended(self) -> bool:
        return self.engine.poll() is not None

    def last_word(self) -> Mapping[str, Any] | None:
        """How it ended, by its own account, once it has."""
        while said := os.read(self._words, 1 << 16):  # all that a pipe holds
            for line in said.splitlines():
                with suppress(ValueError):  # it was cut off
                    word = json.loads(line)
                    self._last_word = word if word["kind"] in FINAL else self._last_word
        return self._last_word


def supervise(
    verb: str, folder: Path, *, count: int, stop: Stopping, progress: dict[str, Any]
) -> None:
    """Do a verb in `count` processes, to its end.

    Raises:
        StopRequested: all of them ended before anything was to be saved.
        LoraTuiError: one failed, with what it said of it; the others are ended.
    """
    processes: list[_Process] = []
    with tempfile.TemporaryDirectory(prefix="lora-tui-") as meeting, stop.deferred():
        try:
            for number in range(count):
                processes.append(  # noqa: PERF401 - those started before one fails have to be ended
                    _Process(
                        verb, folder, number=number, count=count, meeting=Path(meeting, "meeting")
                    )
                )
            _watch(processes, stop, progress)
        finally:
            for process in processes:
                process.close()


def _watch(processes: Sequence[_Process], stop: Stopping, progress: dict[str, Any]) -> None:
    """Hand on a request to stop, and wait until all have ended or one has failed."""
    is_told = False
    while True:
        if stop.requested and not is_told:
            is_told = True
            for process in processes:
                with suppress(ProcessLookupError):
                    process.engine.send_signal(signal.SIGTERM)
        ended = [process for process in processes if process.has_ended]
        words = {process: process.last_word() for process in ended}
        if any(word or process.engine.returncode for process, word in words.items()):
            break
        if len(ended) == len(processes):
            return
        time.sleep(_LOOK)
    time.sleep(_ECHO)
    raise _cause(processes, progress)


def _cause(processes: Sequence[_Process], progress: dict[str, Any]) -> BaseException:
    """What ended the run: the first that said so, but for those that only lost another one."""
    ended = [process for process in processes if process.has_ended]
    words = [word for process in ended if (word := process.last_word())]
    killed = [one for one in ended if -one.engine.returncode in _CAUSES]
    silent = [one for one in ended if one.engine.returncode and not one.last_word()]
    first = min(words, key=lambda word: float(word["t"]), default=None)
    if first:
        progress.update((key, first[key]) for key in ("step", "max_steps") if key in first)
    if any(word["kind"] == "stopped" for word in words):
        return StopRequested()
    if first and not killed:
        error = LoraTuiError(first["summary"], first["hint"])
        error.add_note(first["trace_tail"])
        return error
    return _silence((killed or silent)[0], len(processes))


def _silence(process: _Process, count: int) -> LoraTuiError:
    code = process.engine.returncode
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return LoraTuiError(f"Process {process.number + 1} of {count} {how}.", _REMEDY)
