"""What earlier reports, checks and runs measured and what also holds for a preset: no guesses."""

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
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
        return {"check": "the check", "data": "the data report"}.get(kind, "a run")


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
            report = json.loads(run.report.read_text("utf-8"))
            return Measured(preset, run, report=report) if _is_report(report) else None
        final = next((e for e in events.read_ends(run.events)[1] if e["kind"] in _DONE), {})
    except (LoraTuiError, OSError, ValueError, RecursionError):
        return None  # half written, or garbage: it has measured nothing
    seconds = figure(final.get("seconds_per_step"))
    is_ours = runs.read_info(run).get("host") == platform.node()
    return Measured(preset, run, seconds_per_step=seconds) if seconds and is_ours else None


def _is_report(report: Any) -> bool:
    """Whether it has what is used of it here."""
    if not isinstance(report, dict) or not isinstance(report.get("tokens"), dict):
        return False
    used = (report["tokens"].get("max"), report.get("train_rows"))
    return all(isinstance(figure, int) for figure in used)


def speed(found: list[Measured], preset: Preset) -> Measured | None:
    """The latest measurement on this machine of a step exactly like the preset's."""
    wanted = _step(preset)
    steps = (one for one in found if one.seconds_per_step)
    return next((one for one in steps if _step(one.preset) == wanted), None)


def lengths(found: list[Measured], preset: Preset) -> Mapping[str, Any] | None:
    """The latest report whose row lengths, before they are cut, are those of the preset's rows."""
    return _report(found, preset, _rows)


def split(found: list[Measured], preset: Preset) -> Mapping[str, Any] | None:
    """The latest report that trains on and holds out the same rows as the preset."""
    return _report(found, preset, _split)


def _report(
    found: list[Measured], preset: Preset, key: Callable[[Preset], Any]
) -> Mapping[str, Any] | None:
    wanted = key(preset)
    reports = (one for one in found if one.report is not None and key(one.preset) == wanted)
    return next((one.report for one in reports if not _is_stale(one)), None)


def _is_stale(report: Measured) -> bool:
    """Whether a file was written after the report on it was begun."""
    created = figure(runs.read_info(report.run).get("created")) or 0.0
    paths = [locations.local_path(name) for name in report.preset.data.sources]
    files = [file for path in paths if path for file in (path, *_inside(path))]
    return any(file.stat().st_mtime > created for file in files if file.exists())


def _inside(path: Path) -> list[Path]:
    return list(path.iterdir()) if path.is_dir() else []


def _step(preset: Preset) -> tuple[Any, ...]:
    """What decides how long a step takes."""
    training = preset.training
    return (
        *_rows(preset),
        replace(preset.model, name_or_path=""),
        replace(preset.lora, save_dtype="auto"),
        preset.engine,
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        training.padding_free,
        training.gradient_checkpointing,
        training.optim,
    )


def _rows(preset: Preset) -> tuple[Any, ...]:
    """What decides the lengths of rows: model and data, however their paths are written."""
    model, data = preset.model, preset.data
    names = (model.name_or_path, *data.sources)
    paths = tuple(str(locations.local_path(name) or name) for name in names)
    return paths, model.revision, replace(data, source="", eval_fraction=0.0, too_long="cut")


def _split(preset: Preset) -> tuple[Any, ...]:
    """What decides which rows are trained on."""
    training, data = preset.training, preset.data
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps
    batch *= preset.engine.processes
    seen = batch * training.max_steps if training.max_steps > 0 else None
    cut = (preset.model.max_seq_length, data.too_long)
    return *_rows(preset), data.eval_fraction, cut, training.seed, seen
