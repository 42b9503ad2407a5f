"""`python -m lora_tui.jobs.keeper`: what goes on with no app open.

It starts what waits, tells how runs end, and stops what a sweep has lost. One process for each home
and machine; whoever queues a run starts it, and so does the app when it opens. It ends when nothing
needs it, and what it has to know is in the files, so that it may be killed at any time.
"""

import fcntl
import os
import platform
import sys
import time

from lora_tui.core import config, locations, locks, queue, runs, sweeps
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.jobs import idle, keeping, notify, sweep
from lora_tui.jobs.idle import IdleWatch
from lora_tui.jobs.queue import dispatch

_EVERY = 1.0  # seconds
_IDLE_EVERY = 30.0


def main() -> int:
    """Keep things going until nothing needs it; a second keeper ends at once."""
    handle = os.open(keeping.lock(), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    ends, idleness = Ends(), Idleness()
    while locations.home().is_dir():  # nothing may be made anew of what was removed
        try:
            dispatch()
            sweep.halve()
            ends.tell()
            idleness.look()
            with queue.locked():  # so that nobody starts or queues a run while this one leaves
                ends.look()
                if not (keeping.is_needed() or sweeps.racing() or ends.expected or idleness.waits):
                    os.close(handle)
                    return 0
        except (LoraTuiError, OSError) as error:  # a full disk passes
            print(time.strftime("%Y-%m-%d %H:%M:%S"), error, file=sys.stderr, flush=True)
            time.sleep(5 * _EVERY)
        time.sleep(_EVERY)
    return 0


class Ends:
    """Tells of each run that was at work, and is not any more, once."""

    def __init__(self) -> None:
        """Runs that ended before this are nobody's news."""
        self._stamps = {run: _stamp(run) for run in runs.list_runs()}
        self._alive = {run for run in self._stamps if runs.is_alive(run)}

    def look(self) -> None:
        """See which runs were started since."""
        for run in runs.list_runs():
            stamp = _stamp(run)
            if self._stamps.get(run, 0) != stamp:  # an engine was started, if only for a moment
                self._stamps[run] = stamp
                self._alive.add(run)

    def tell(self) -> None:
        """Run the user's command for what ended."""
        self.look()
        for run in [run for run in self._alive if not runs.is_alive(run)]:
            self._alive.remove(run)
            if locks.holder(run.lock)[0] == platform.node():  # else another keeper tells it
                notify.ended(run)

    @property
    def expected(self) -> bool:
        """Whether a run is at work whose end has to be told."""
        return bool(self._alive) and notify.is_wanted()


def _stamp(run: Run) -> int:
    """Changes whenever an engine is started: it signs the lock."""
    try:
        return run.lock.stat().st_mtime_ns
    except OSError:
        return 0


class Idleness:
    """Tells that the GPU stands idle, where the user wants to know."""

    def __init__(self) -> None:
        """Begin at once."""
        self._minutes, self._watch, self._due = 0, IdleWatch(0), 0.0
        self._saw_work = False

    def look(self) -> None:
        """Look now and then."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + _IDLE_EVERY
        minutes = _idle_minutes()
        if minutes != self._minutes:
            self._minutes, self._watch = minutes, IdleWatch(minutes)
        load = idle.load() if minutes else None
        at_work = load is not None and idle.is_any_at_work()
        self._saw_work = at_work
        if self._watch.feed(now, at_work=at_work, load=load):
            notify.idle(minutes)

    @property
    def waits(self) -> bool:
        """Whether it may have to be told: it stands idle, or will when the run at work ends."""
        return self._watch.waits or self._saw_work


def _idle_minutes() -> int:
    """After how many minutes the user wants to know; 0 for never."""
    try:
        return config.load().notify.idle_minutes if notify.is_wanted() else 0
    except LoraTuiError:  # notify's log says so
        return 0


if __name__ == "__main__":
    sys.exit(main())
