"""The verbs that look before a run is started: the data report."""

import json
import sys
import threading
from typing import Any

import click

from lora_tui.console import (
    DONE,
    FAILED,
    as_json,
    chosen_preset,
    preset_argument,
    print_json,
    say,
)
from lora_tui.core import data_advice, summary
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import launch, stop
from lora_tui.jobs.follow import follow


@click.command()
@preset_argument
@as_json
def data(preset: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Report on PRESET's data: format, lengths, what is trained, what is left out.

    Exit status 1 when no row can be trained on.
    """
    report = _finished(chosen_preset(preset, settings), "data")
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


def _finished(preset: Preset, kind: str) -> dict[str, Any]:
    """What a job of `kind` found out; ctrl+c ends the job.

    Raises:
        LoraTuiError: it could not do its work.
    """
    run = launch.start(preset, name=preset.name, kind=kind)
    try:
        for _ in follow(run, threading.Event(), every=0.05):
            pass
    except KeyboardInterrupt:
        stop.kill(run)
        raise
    return _report(run)


def _report(run: Run) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(run.report.read_text("utf-8"))
    except FileNotFoundError:
        failure = summary.headline(run).failure or {}
        raise LoraTuiError(
            failure.get("summary") or "The engine ended without a word.",
            failure.get("hint") or f"What it printed is in {run.log}.",
        ) from None
    return found


VERBS = (data,)
