"""Runs under SLURM, from where they are submitted: submit, stop, hold, and what SLURM says of them.

What SLURM says is only ever shown, or tells that a job is gone; whether a run works, and how it
ended, say its own lock and events.
"""

import platform
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lora_tui.core import config, events, files, platforms, queue, runs, slurm
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.locations import home
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset
from lora_tui.core.queue import Ticket
from lora_tui.core.runs import Run
from lora_tui.jobs import machine

_ANSWERS_WITHIN = 60.0  # seconds; a busy controller takes its time
_TELLS_WITHIN = 5.0  # seconds; whoever lists runs does not wait longer for SLURM's word
_FRESH = 10.0  # seconds


def refuse(preset: Preset, options: Sequence[str]) -> None:
    """Make sure that a run of `preset` can be submitted: what runs it need not be in this machine.

    Raises:
        LoraTuiError: it cannot.
    """
    slurm.check_options(_with_own(options))
    backend = platforms.choose_backend(preset)
    device = "cuda" if slurm.gpus_of(preset) else "cpu"
    machine.refuse(preset, Platform(backend, device, bfloat16=True))


def submit(run: Run, verb: str, options: Sequence[str]) -> str:
    """Queue a run at SLURM; the id of its job.

    The job is submitted held and released when the run knows it, so that none starts unknown.

    Raises:
        LoraTuiError: SLURM does not take it; it is not in the queue then.
    """
    preset = load(run.preset)
    gpus = slurm.gpus_of(preset)
    if preset.engine.device == "auto" and not _has_gpus():
        gpus = 0
    said = _with_own(options)
    text = slurm.script(run, gpus=gpus, options=said, home=home(), python=sys.executable)
    try:
        files.write_atomically(run.sbatch, text)
        answer = _ask("sbatch", "--hold", "--parsable", str(run.sbatch)).strip()
        job = answer.partition(";")[0]
        if not job.isdecimal():
            raise LoraTuiError(f'sbatch did not say the job\'s id but "{answer}".')
        try:
            slurm.allow(run, job, platform.node())
            runs.add_to_info(run, slurm=job)
            with queue.locked():
                queue.join(run, verb, slurm=job)
            _ask("scontrol", "release", job)
        except (LoraTuiError, OSError):
            with suppress(LoraTuiError):
                slurm.forbid(run)
                with queue.locked():
                    queue.leave(run)
                _ask("scancel", job)
            raise
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} cannot be submitted: {error}.", "Is there room on the disk?"
        ) from error
    return job


def _with_own(options: Sequence[str]) -> tuple[str, ...]:
    """The options of `config.toml`, and behind them those of the command: they count."""
    own = config.load().slurm.options
    return (own, *options) if own else tuple(options)


def _has_gpus() -> bool:
    """Whether a node of the cluster offers GPUs: asked for where none is, no job is taken."""
    return "gpu" in _ask("sinfo", "--noheader", "--format=%G")


def cancel(ticket: Ticket) -> None:
    """Take back the job of a run that left the queue; one that starts all the same does nothing.

    Raises:
        LoraTuiError: SLURM does not take it back.
    """
    if not ticket.slurm:
        return
    slurm.forbid(ticket.run)
    try:
        _ask("scancel", ticket.slurm)
    except LoraTuiError as error:
        raise LoraTuiError(
            f"{ticket.run.id} left the queue, but its job did not: {error.summary}",
            f"The job does nothing when it starts; take it back by scancel {ticket.slurm}.",
        ) from error


def hold(run: Run, *, held: bool) -> None:
    """Let the job of a run that waits be held, or not any more.

    Raises:
        LoraTuiError: SLURM refuses; its ticket is as it was.
    """
    ticket = queue.read(run)
    if not ticket or not ticket.slurm:
        return
    try:
        _ask("scontrol", "hold" if held else "release", ticket.slurm)
    except LoraTuiError:
        with queue.locked():
            if queue.read(run) == ticket:
                queue.write(replace(ticket, held=not held))
        raise


def signal(run: Run, *, kill: bool) -> bool:
    """Tell the job of a run at work to save and end, or kill it; whether SLURM runs it.

    Raises:
        LoraTuiError: SLURM does not answer.
    """
    allowed = slurm.allowed(run)
    if allowed is None:
        return False
    slurm.forbid(run)  # before, or SLURM may start it again at once
    try:
        # The batch step alone is told to save: it hands that on to the engine.
        how = ("--signal=KILL", "--full") if kill else ("--signal=TERM", "--batch")
        _ask("scancel", *how, allowed[0])
    except LoraTuiError:
        with suppress(OSError):
            slurm.allow(run, *allowed)
        raise
    return True


def _ask(*command: str, within: float = _ANSWERS_WITHIN) -> str:
    """What one of SLURM's commands prints.

    Raises:
        LoraTuiError: there is none here, or it refuses; with its own words.
    """
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=within,
            check=False,
        )
    except FileNotFoundError as error:
        raise LoraTuiError(
            f"There is no {command[0]} here.", "Ask on a machine that has SLURM's commands."
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LoraTuiError(
            f"SLURM does not answer: {error}.", "`sinfo` tells its state."
        ) from error
    if done.returncode:
        words = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        raise LoraTuiError(f"SLURM refuses: {words}", _HINTS.get(command[0], ""))
    return done.stdout


_HINTS = {
    "sbatch": "Say what your cluster wants, such as --sbatch=--partition=NAME; a run that needs no "
    "GPU: --set engine.device=cpu."
}


@dataclass(slots=True)
class _Said:
    """What SLURM said of its jobs, and when: screens ask often, SLURM is asked seldom."""

    at: float = float("-inf")
    jobs: Mapping[str, str] = field(default_factory=dict)
    asking: threading.Lock = field(default_factory=threading.Lock)


_said = _Said()


def look() -> None:
    """Ask SLURM about the jobs that wait, and let go of runs whose job is gone.

    At most once in ten seconds; without SLURM, or an answer of it, nothing changes.
    """
    if time.monotonic() - _said.at < _FRESH or not _said.asking.acquire(blocking=False):
        return
    try:
        if tickets := [ticket for ticket in queue.waiting() if ticket.slurm]:
            _look_at(tickets)
    finally:
        _said.at = time.monotonic()
        _said.asking.release()


def look_aside() -> None:
    """As `look`, for screens: nobody waits for SLURM."""
    if time.monotonic() - _said.at >= _FRESH and not _said.asking.locked():
        threading.Thread(target=look, daemon=True).start()


def _look_at(tickets: Sequence[Ticket]) -> None:
    """Ask about jobs whose tickets were there before."""
    asked = ("squeue", "--me", "--noheader", "--format=%i|%T|%r")
    try:
        lines = _ask(*asked, within=_TELLS_WITHIN).splitlines()
    except LoraTuiError:
        return
    found = {}
    for line in lines:
        job, state, reason = line.split("|", 2)
        found[job] = state.lower() + (f" ({reason})" if reason != "None" else "")
    _said.jobs = found
    for ticket in tickets:
        if ticket.slurm not in found:
            with suppress(LoraTuiError, OSError):
                _let_go(ticket)


def _let_go(ticket: Ticket) -> None:
    """Take a run out of the queue whose job ended without starting it, or going on with it."""
    run = ticket.run
    allowed = slurm.allowed(run)
    if allowed != (ticket.slurm, platform.node()):
        return  # submitted elsewhere, maybe to another cluster
    with queue.locked():
        if queue.read(run) != ticket or runs.is_alive(run):
            return
        summary = f"SLURM job {ticket.slurm} is gone without starting the run"
        hint = f"{run.slurm_log} may say why. Submit it again: lora-tui resume {run.id} --slurm"
        if runs.read_info(run).get("launched") is None:
            events.append(run.events, "failed", summary=f"{summary}.", hint=hint, step=0)
        else:  # it was cut off before; how, its events tell
            events.append(run.events, "warning", text=f"{summary} again. {hint}")
        slurm.forbid(run)
        queue.leave(run)


def standing(run: Run) -> str:
    """What a run waits for, with SLURM's own word as of the last `look`."""
    ticket = queue.read(run)
    if ticket and ticket.slurm in _said.jobs:
        return f"SLURM job {ticket.slurm} is {_said.jobs[ticket.slurm]}"
    return queue.standing(run)
