"""The verbs that look before a run is started: the data report and the check."""

import json
import signal
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import closing, suppress
from typing import Any, Protocol, TypeVar

import click

from lora_tui.console import (
    DONE,
    FAILED,
    as_json,
    chosen_preset,
    preset_argument,
    print_json,
    say,
    say_item,
)
from lora_tui.core import checks, data_advice, runs, summary, text
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event
from lora_tui.core.folding import Folding
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import control, launch
from lora_tui.jobs.follow import follow

_CLEARING_UP = 20.0  # seconds


@click.command()
@preset_argument
@as_json
def data(preset: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Report on PRESET's data: format, lengths, what is trained, what is left out.

    Exit status 1 when no row can be trained on.
    """
    run = _start(chosen_preset(preset, settings), "data")
    for _ in followed(run):
        pass
    report = _report(run)
    if as_json:
        print_json(report)
    else:
        for name, value in data_advice.facts(report):
            say(f"{name:<12}{value}")
        for warning in report["warnings"]:
            say(f"! {warning}")
        for remedy in report["remedies"]:
            changes = " ".join(f"--set {key}={value}" for key, value in remedy["changes"].items())
            say(f"> {remedy['text']}: {changes}")
    sys.exit(DONE if report["kept"] else FAILED)


@click.command()
@preset_argument
@click.option("--quick", is_flag=True, help="Take no real steps.")
@click.option("--find-batch", is_flag=True, help="Try which batch is the largest that works.")
@click.option("--export", is_flag=True, help="Look also at what an export needs.")
@as_json
def check(preset: str, settings: tuple[str, ...], as_json: bool, **options: bool) -> None:
    """Check PRESET before a run: model, data, memory, disk, and real steps.

    Exit status 0 only if nothing is red.
    """
    run = _start(chosen_preset(preset, settings), "check", options)
    told = checks.Told()
    with closing(followed(run)) as batches:
        for batch in batches:
            items = told.fold(batch)
            if not as_json:
                for item in items:
                    say_item(item)
    for item in told.end(summary.headline(run)):
        if not as_json:
            say_item(item)
    document = told.document()
    if as_json:
        print_json(document)
    sys.exit(DONE if document["ok"] else FAILED)


def _start(preset: Preset, kind: str, options: Mapping[str, Any] | None = None) -> Run:
    return launch.start(preset, name=preset.name, kind=kind, options=options)


def followed(run: Run, *, outlives: bool = False) -> Generator[list[Event]]:
    """The job's events until it ends; whatever ends this program ends the job too.

    One that `outlives` a connection goes on when the terminal is gone.
    """
    hung_up = threading.Event()

    def leave(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            hung_up.set()
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave)
    try:
        yield from follow(run, threading.Event(), every=0.05)
    finally:
        with suppress(LoraTuiError):  # it may have ended by now
            if outlives and not hung_up.is_set():
                control.stop(run)  # it clears up what is half-written
                control.wait_until_dead(run, _CLEARING_UP)
            if runs.is_alive(run) and not (outlives and hung_up.is_set()):
                control.kill(run)


def _report(run: Run) -> dict[str, Any]:
    """What a job found out.

    Raises:
        LoraTuiError: it could not do its work.
    """
    try:
        found: dict[str, Any] = json.loads(run.report.read_text("utf-8"))
    except FileNotFoundError:
        raise unfinished(run) from None
    return found


class _Job(Protocol):
    """A moment of a job: what it does now, and how it ended."""

    @property
    def doing(self) -> str: ...  # the class says it
    @property
    def ended(self) -> str: ...


Moment = TypeVar("Moment", bound=_Job)


def made(run: Run, folding: Folding[Moment]) -> Moment:
    """What a job that outlives the terminal made; what it does is told on stderr as it goes.

    Raises:
        LoraTuiError: it did not come to its end.
    """
    said = ""
    try:
        with closing(followed(run, outlives=True)) as batches:
            for batch in batches:
                now = folding.fold(batch)
                if now.doing not in {"", said}:
                    said = now.doing
                    say(text.one_line(said), err=True)
    except KeyboardInterrupt:
        raise LoraTuiError(
            "It was stopped; what is whole is kept.", "The same command goes on from there."
        ) from None
    if folding.now.ended != "finished":
        raise unfinished(run)
    return folding.now


def unfinished(run: Run) -> LoraTuiError:
    """Why a job has no result."""
    line = summary.headline(run)
    failure = line.failure or {}
    said = failure.get("summary") or "The engine was ended before it was done."
    if line.state == "crashed":
        return LoraTuiError(said, f"The same command starts it again; its last lines: {run.log}.")
    return LoraTuiError(said, failure.get("hint") or f"What it printed is in {run.log}.")


VERBS = (data, check)
