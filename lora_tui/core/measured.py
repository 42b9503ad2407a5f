"""What earlier reports, checks and runs measured and what also holds for a preset: no guesses."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_tui.core import events, locations, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure
from lora_tui.core.preset_files import load
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run

_LATEST_RUNS = 30  # reading more would take longer than anybody waits for a form
_DONE = frozenset({"finished", "stopped"})


@dataclass(frozen=True, slots=True)
class Measured:
    """One earlier job: its preset, and what it found out about speed or data."""

    preset: Preset
    run: Run
    seconds_per_step: float | None = None
    report: Mapping[str, Any] | None = None

    @property
    def source(self) -> str:
        """What measured it, in words."""
        kind = str(runs.read_info(self.run).get("kind"))
        return {"check": "the check", "data": "the data report"}.get(kind, self.run.id)


def collect() -> list[Measured]:
    """Everything measured lately, newest first: reports and checks, and the latest runs."""
    folders = (locations.reports_folder(), locations.runs_folder())
    jobs = [job for folder in folders for job in runs.list_runs(folder)[:_LATEST_RUNS]]
    jobs.sort(key=lambda job: job.id, reverse=True)
    return [found for job in jobs if (found := _read(job))]


def _read(run: Run) -> Measured | None:
    try:
        preset = load(run.preset)
        if run.report.is_file():
            return Measured(preset, run, report=json.loads(run.report.read_text("utf-8")))
        final = next((e for e in events.read_ends(run.events)[1] if e["kind"] in _DONE), {})
    except (LoraTuiError, OSError, ValueError, RecursionError):
        return None  # half written, or garbage: it has measured nothing
    seconds = figure(final.get("seconds_per_step"))
    return Measured(preset, run, seconds_per_step=seconds) if seconds else None


def speed(found: list[Measured], preset: Preset) -> Measured | None:
    """The latest measurement of a step exactly like the preset's."""
    wanted = _step(preset)
    return next(
        (one for one in found if one.seconds_per_step and _step(one.preset) == wanted), None
    )


def data_report(found: list[Measured], preset: Preset) -> Mapping[str, Any] | None:
    """The latest report on exactly the preset's rows, read by its model."""
    wanted = _rows(preset)
    return next((one.report for one in found if one.report and _rows(one.preset) == wanted), None)


def _step(preset: Preset) -> tuple[Any, ...]:
    """What decides how long a step takes."""
    training = preset.training
    return (
        _located(preset),
        replace(preset.model, name_or_path=""),
        preset.lora,
        preset.engine,
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        training.gradient_checkpointing,
        training.optim,
    )


def _rows(preset: Preset) -> tuple[Any, ...]:
    """What decides the lengths of rows before they are cut."""
    return _located(preset)


def _located(preset: Preset) -> tuple[Any, ...]:
    """The model and the data, however their paths are written: runs keep them absolute."""
    model, data = preset.model, preset.data
    names = (model.name_or_path, *data.sources)
    paths = tuple(str(locations.local_path(name) or name) for name in names)
    return paths, model.revision, replace(data, source="", eval_fraction=0.0)
