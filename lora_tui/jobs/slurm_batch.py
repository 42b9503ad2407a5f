"""`python -m lora_tui.jobs.slurm_batch RUN_DIRECTORY`: what SLURM starts, as often as it likes.

The run's own files decide what to do, not that SLURM asks: a job may be launched again that had
ended. The engine is a child; this process hands on what SLURM tells it, and says what comes next.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from lora_tui.core import events, locks, queue, runs, slurm
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.states import told
from lora_tui.jobs import keeping, notify
from lora_tui.jobs.spawn import spawn

_TIME_IS_UP, _STOP = signal.SIGUSR1, signal.SIGTERM


class Batch:
    """One start of a job: the engine, and what SLURM said meanwhile."""

    def __init__(self, run: Run, job: str) -> None:
        """Keep whom it is about; nothing is started."""
        self._run = run
        self._job = job
        self._heard: set[int] = set()
        self._engine: subprocess.Popen[bytes] | None = None

    @property
    def began(self) -> bool:
        """Whether it started an engine."""
        return self._engine is not None

    def listen(self) -> None:
        """Take SLURM's signals from here on."""
        for number in (_TIME_IS_UP, _STOP):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal gives both
        self._heard.add(number)
        if self._engine is not None:
            self._tell_engine()

    def _tell_engine(self) -> None:
        assert self._engine is not None
        with suppress(ProcessLookupError):  # it ended by itself
            os.killpg(self._engine.pid, signal.SIGTERM)

    def work(self) -> int:
        """Start the run if it is wanted, wait until it ends; the exit status for SLURM."""
        try:
            with queue.locked():  # nobody cancels or holds it meanwhile
                before = _last_step(self._run)
                self._engine = self._start()
        except LoraTuiError as error:
            self._refuse(error)
            return 1
        if self._engine is None:
            return 0
        if self._heard:
            self._tell_engine()
        code = self._engine.wait()
        return self._end(code, before)

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start the engine; None where the run is not to be started.

        Raises:
            LoraTuiError: it cannot be started.
        """
        run = self._run
        if not self._is_wanted():
            _say(f"{run.id} is not to be started by job {self._job}; nothing was done.")
            return None
        if _telling(run) == "finished":
            slurm.forbid(run)
            queue.leave(run)
            _say(f"{run.id} is finished; nothing was done.")
            return None
        ticket = queue.read(run)
        begun = runs.read_info(run).get("launched") is not None
        run.pause.unlink(missing_ok=True)
        engine = spawn(run, "resume" if begun else ticket.verb if ticket else "train")
        queue.leave(run)
        return engine

    def _is_wanted(self) -> bool:
        allowed = slurm.allowed(self._run)
        return allowed is not None and allowed[0] == self._job

    def _end(self, code: int, before: int) -> int:
        """Say what comes next: nothing, or another start by SLURM; the exit status."""
        was_cut_off = _telling(self._run) == "stopped" or code < 0  # killed after it was told
        if not (was_cut_off and self._heard and self._is_wanted()):  # or the user stopped it
            self._give_up()
        elif _TIME_IS_UP not in self._heard:  # SLURM starts it again, or was told to cancel it
            self._wait_again()
        elif _last_step(self._run) > before:
            self._wait_again()
            self._requeue()
        else:
            self._give_up()
            self._fail(
                f"The time limit of SLURM job {self._job} leaves no time for a step.",
                f'Give it more: lora-tui resume {self._run.id} --slurm --sbatch "--time=4:00:00"',
            )
        return 0 if code == 0 else 1

    def _give_up(self) -> None:
        slurm.forbid(self._run)
        with queue.locked():
            queue.leave(self._run)

    def _wait_again(self) -> None:
        """Let the run wait for the next start."""
        with queue.locked():
            queue.join(self._run, "resume", slurm=self._job)

    def _refuse(self, error: LoraTuiError) -> None:
        """Give up a run that cannot be started; one at work may be this job's, launched twice."""
        _say(str(error))
        if not runs.is_alive(self._run):
            self._give_up()
            self._fail(error.summary, error.hint)

    def _fail(self, summary: str, hint: str) -> None:
        step = _last_step(self._run)
        events.append(self._run.events, "failed", summary=summary, hint=hint, step=step)

    def _requeue(self) -> None:
        """Ask SLURM for another start: at a time limit it gives none by itself."""
        done = subprocess.run(
            ["scontrol", "requeue", self._job],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            _say(f"SLURM does not start it again: {done.stderr.strip()}")
            self._give_up()


def _telling(run: Run) -> str | None:
    """The event kind that tells how the run stands, by its last events."""
    telling = None
    for event in events.read_ends(run.events)[1]:
        telling = told(telling, event["kind"])
    return telling


def _last_step(run: Run) -> int:
    """The last step that is saved."""
    return max(runs.checkpoint_steps(run), default=0)


def _say(words: str) -> None:
    print(words, flush=True)  # into slurm.log


def main(arguments: Sequence[str]) -> int:
    """Run a run directory as SLURM's batch step."""
    if len(arguments) != 1 or not (job := os.environ.get("SLURM_JOB_ID")):
        print("SLURM starts this: lora-tui train PRESET --slurm", file=sys.stderr)
        return 2
    _forget_other_makers()
    run = Run(Path(arguments[0]))
    batch = Batch(run, job)
    batch.listen()
    try:
        code = batch.work()
    except (LoraTuiError, OSError) as error:
        _say(str(error))
        code = 1
    if batch.began and not locks.is_held(keeping.lock()):  # else this machine's keeper tells
        _tell(run)
    return code


def _forget_other_makers() -> None:
    """Drop AMD's variables where no GPU of theirs is: SLURM sets them for any, and Unsloth
    believes them.
    """
    if not Path("/dev/kfd").exists():
        os.environ.pop("ROCR_VISIBLE_DEVICES", None)


def _tell(run: Run) -> None:
    """Tell the user how it ended, and wait for that: SLURM ends what a job leaves behind."""
    notify.ended(run)
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
