"""The verbs of runs: train, list, show, watch, pause, stop, resume, delete."""

import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import click

from lora_tui.console import (
    DONE,
    FAILED,
    as_json,
    chosen_preset,
    detached,
    preset_argument,
    print_json,
    ring,
    run_argument,
    say,
    slurm_options,
)
from lora_tui.core import branching, makings, plain, queue, references, runs, states, summary, text
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import find_job
from lora_tui.core.metrics import History
from lora_tui.core.runs import Run
from lora_tui.core.settings import in_words
from lora_tui.core.signals import ending
from lora_tui.jobs import branch, control, launch, logout
from lora_tui.jobs import slurm as slurm_jobs
from lora_tui.jobs.follow import follow

_SAVING_TAKES_AT_MOST = 600.0


@click.command()
@preset_argument
@click.option("--name", default="", help="What to call the run.")
@slurm_options
@detached
@as_json
def train(
    preset: str,
    settings: tuple[str, ...],
    *,
    name: str,
    slurm: bool,
    sbatch: tuple[str, ...],
    detach: bool,
    as_json: bool,
) -> None:
    """Train PRESET, and follow it; ctrl+c leaves it running."""
    chosen = chosen_preset(preset, settings)
    if slurm or sbatch:
        run = launch.submit(chosen, name=name, command=_command(), options=sbatch)
    else:
        run = launch.start(chosen, name=name, command=_command())
    _follow_or_return(run, detach=detach, as_json=as_json)


def _command() -> str:
    return shlex.join(["lora-tui", *sys.argv[1:]])


def _follow_or_return(run: Run, *, detach: bool, as_json: bool, since: int = 0) -> None:
    ticket = queue.read(run)
    if not (ticket and ticket.slurm) and (words := logout.warning()):
        say(words, err=True)
    if detach:
        print_json(summary.show(run)) if as_json else say(run.id)
        return
    with _leaving(run, quiet=as_json):
        if not as_json:
            say(run.id)
        if waits := slurm_jobs.standing(run):
            say(f"It is queued: {waits}.", err=True)
        _watch(run, quiet=as_json, since=since)
    _end(run, as_json=as_json)


def _watch(run: Run, *, quiet: bool, since: int = 0) -> None:
    """Print events as they come, to stderr when stdout is kept for the JSON document.

    `since` is where in the file of events to begin, in bytes.
    """
    history = History()
    is_open = queue.is_open(run)
    for batch in follow(run, threading.Event(), since=since):
        history.fold(batch)
        most = history.snapshot().max_steps if batch else None
        for event in batch:
            if line := plain.line(event, most):
                say(line, err=quiet)
    if is_open:  # else nobody waited for it
        ring(ending(summary.headline(run)))


@contextmanager
def _leaving(run: Run, *, quiet: bool) -> Iterator[None]:
    """Inside, ctrl+c leaves the run as it is, and says how it is found again."""
    try:
        yield
    except KeyboardInterrupt:
        if quiet:
            print_json(summary.show(run))
        say(f"\n{run.id} goes on.", err=True)
        say(f"Watch it: lora-tui watch {run.id}", err=True)
        say(f"Stop it:  lora-tui stop {run.id}", err=True)
        sys.exit(DONE)


def _end(run: Run, *, as_json: bool) -> None:
    """Print how it ended, and leave with the status that says so."""
    if not run.path.exists():
        raise LoraTuiError(f"{run.id} is gone: its folder was removed.")
    document = summary.show(run)
    if as_json:
        print_json(document)
    elif document["failure"]:
        say(f"{document['failure']['summary']}\n{document['failure']['hint']}", err=True)
    elif kept := document["paths"]["adapter"] or document["paths"]["model"]:
        say(f"kept in {kept}")
    has_ended = document["state"] in states.ENDED
    if (number := len(document["advice"])) and has_ended and not as_json:
        hints = "1 hint" if number == 1 else f"{number} hints"
        say(f"{hints}: lora-tui show {run.id}", err=bool(document["failure"]))
    sys.exit(FAILED if document["failure"] else DONE)


def _tell_state(run: Run, *, as_json: bool) -> None:
    """Print what became of a request, and leave as `_end` does."""
    if not as_json:
        say(f"{run.id} {summary.headline(run).state}")
    _end(run, as_json=as_json)


@click.command("runs")
@as_json
def list_runs(as_json: bool) -> None:
    """List the runs, newest first."""
    slurm_jobs.look()
    lines = [summary.headline(run) for run in runs.list_runs()]
    if as_json:
        print_json([line.document() for line in lines])
        return
    if not lines:
        say("No runs yet. Start one: lora-tui train demo", err=True)
    for line in lines:
        progress = f"{line.step}/{line.max_steps}" if line.max_steps else "-"
        tail = line.failure["summary"] if line.failure else text.duration(line.elapsed)
        figures = f"{line.state:<9} {progress:>11} {text.number(line.loss):>7}"
        say(f"{line.run.id:<36} {text.one_line(line.name):<16} {figures}  {tail}")


@click.command()
@run_argument
@as_json
def show(run: str, as_json: bool) -> None:
    """Show one run: state, figures, where its files are."""
    slurm_jobs.look()
    document = summary.show(references.find(run))
    if as_json:
        print_json(document)
        return
    advices = document.pop("advice")
    for line in plain.facts(document):
        say(line)
    for one in advices:
        say(f"! {one['text']} ({one['source']})")
        if one["changes"]:
            say(f"> {_assignments(one['changes'])}")


def _assignments(changes: Mapping[str, Any]) -> str:
    """Changes of a preset, as a shell takes them."""
    pairs = (f"{key}={in_words(value)}" for key, value in changes.items())
    return " ".join(f"--set {shlex.quote(pair)}" for pair in pairs)


@click.command()
@run_argument
@as_json
def watch(run: str, as_json: bool) -> None:
    """Follow a run in plain lines until it ends; ctrl+c leaves it running."""
    found = references.find(run)
    with _leaving(found, quiet=as_json):
        _watch(found, quiet=as_json)
    _end(found, as_json=as_json)


@click.command()
@run_argument
@click.option("--kill", is_flag=True, help="End it now: only what was saved before stays.")
@click.option(
    "--grace",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="Kill it if it has not ended by then.",
)
@as_json
def stop(run: str, kill: bool, grace: float | None, as_json: bool) -> None:
    """Stop a run: it ends its step, saves a checkpoint and the adapter."""
    found = references.find(run)
    (control.kill if kill else control.stop)(found)
    if grace is not None and not control.wait_until_dead(found, grace):
        say(f"{found.id} has not stopped in {grace:g} s, so it is killed.", err=True)
        with suppress(LoraTuiError):  # it has just ended
            control.kill(found)
    if not control.wait_until_dead(found, _SAVING_TAKES_AT_MOST):
        raise LoraTuiError(
            f"{found.id} has not stopped yet; it may still be saving.",
            f"Ask again later, or end it now: lora-tui stop {found.id} --kill",
        )
    _tell_state(found, as_json=as_json)


@click.command()
@run_argument
@as_json
def pause(run: str, as_json: bool) -> None:
    """Let a run wait between two steps; all stays in memory."""
    found = references.find(run)
    control.pause(found)
    if not control.wait_until_paused(found, _SAVING_TAKES_AT_MOST):
        raise LoraTuiError(
            f"{found.id} is still at its step; it pauses after that, or ends.",
            f"Ask again later: lora-tui show {found.id}",
        )
    _tell_state(found, as_json=as_json)


@click.command()
@run_argument
@click.option("--from", "step", type=int, metavar="STEP", help="Branch from this checkpoint.")
@click.option(
    "--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Branch with this changed."
)
@click.option("--name", default="", help="What to call the branch.")
@slurm_options
@detached
@as_json
def resume(
    run: str,
    *,
    step: int | None,
    settings: tuple[str, ...],
    name: str,
    slurm: bool,
    sbatch: tuple[str, ...],
    detach: bool,
    as_json: bool,
) -> None:
    """Go on: in place if paused, else from the checkpoint.

    With --from, --set or --name a new run, a branch, goes on from a checkpoint of RUN with other
    settings, say more steps; RUN stays as it is.
    """
    found = references.find(run)
    options = sbatch if slurm or sbatch else None
    since = found.events.stat().st_size if found.events.exists() else 0
    if step is not None or settings or name:
        plan = branching.plan(found, step, branching.changes(found, settings))
        for line in plan.told():
            say(line, err=True)
        found = branch.start(plan, name=name, command=_command(), options=options)
        since = 0
    else:
        launch.resume(found, options=options)
    _follow_or_return(found, detach=detach, as_json=as_json, since=since)


@click.command()
@run_argument
@click.option("--yes", is_flag=True, help="Do not ask; nor does it without a terminal.")
@as_json
def delete(run: str, yes: bool, as_json: bool) -> None:
    """Delete a run and everything made in it, or a merge of several."""
    found = find_job(run) or references.find(run)
    makings.refuse_at_work(found)
    if sys.stdin.isatty() and not (yes or as_json):
        click.confirm(f"Remove {found.id} and all that was made in it for good?", abort=True)
    runs.delete(found)
    print_json({"id": found.id, "deleted": True}) if as_json else say(f"{found.id} deleted")


VERBS = (train, list_runs, show, watch, pause, stop, resume, delete)
