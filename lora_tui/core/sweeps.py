"""Sweeps: runs that belong together, and the file that says which.

`<home>/sweeps/<id>/sweep.json` is written whole before any of the runs starts and never changes;
how the runs stand is told by the runs.
"""

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_tui.core import grids, locations, presets, queue, runs
from lora_tui.core.errors import Ambiguous, BadInput, LoraTuiError
from lora_tui.core.events import figure
from lora_tui.core.files import private_folder, slug, write_atomically
from lora_tui.core.grids import Grid, Variant
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run

SCHEMA = 1
FILE = "sweep.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sweep is asked for."""

    preset: Preset
    grid: Grid
    with_full: bool = False
    halving: bool = False
    name: str = ""

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Its runs.

        Raises:
            SettingsError: all values and combinations that do not fit.
        """
        return grids.variants(self.preset, self.grid, with_full=self.with_full)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep there is; `labels` stand beside `runs`, `baseline` is the run of full fine-tuning."""

    path: Path
    name: str
    created: float
    runs: tuple[Run, ...]
    labels: tuple[str, ...]
    baseline: str = ""
    halving: bool = False
    preset: Mapping[str, Any] = field(default_factory=dict)
    grid: Grid = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The folder's name: sorts by time."""
        return self.path.name

    @property
    def first_rung(self) -> int:
        """The step of the first measurement that all its runs take; 0 if they take none."""
        swept = self.grid.get("training.eval_steps")
        steps = swept or [self.preset.get("training", {}).get("eval_steps")]
        known = [one for one in steps if isinstance(one, int) and one > 0]
        return max(known, default=0) if len(known) == len(steps) else 0


def claim(name: str) -> Path:
    """A new folder for a sweep; a second one of the same minute and name gets `-2`.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    wanted = f"{time.strftime('%Y%m%d-%H%M')}-{slug(name)}"
    try:
        folder = private_folder(locations.sweeps_folder())
        for number in range(1, 10_000):
            path = folder / (wanted if number == 1 else f"{wanted}-{number}")
            try:
                path.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return path
        raise OSError(f"10,000 sweeps are called {wanted}")
    except OSError as error:
        raise LoraTuiError(
            f"No sweep can be made: {error}.", "Set LORA_TUI_HOME to a folder on a disk with room."
        ) from error


def write(path: Path, asked: Asked, made: Sequence[tuple[Variant, Run]], command: str) -> Sweep:
    """Write the file of a sweep whose runs are there and have not started.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    baseline = next((run.id for variant, run in made if variant.is_baseline), None)
    said = {
        "schema": SCHEMA,
        "id": path.name,
        "name": asked.name,
        "created": time.time(),
        "command": command,
        "preset": presets.to_document(asked.preset),
        "grid": {key: list(values) for key, values in asked.grid.items()},
        "runs": [run.id for _, run in made],
        "labels": [variant.label for variant, _ in made],
        "baseline": baseline,
        "with_full": asked.with_full,
        "halving": asked.halving,
    }
    try:
        write_atomically(path / FILE, json.dumps(said, indent=1))
    except OSError as error:
        raise LoraTuiError(
            f"The sweep was not made: {error}.", "Is there room on the disk?"
        ) from error
    return _sweep(path, said)


def read(path: Path) -> Sweep | None:
    """The sweep in a folder; None where there is none, or its file is garbage."""
    try:
        said = json.loads((path / FILE).read_text("utf-8"))
        return _sweep(path, said) if isinstance(said, dict) else None
    except (OSError, ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None


def _sweep(path: Path, said: Mapping[str, Any]) -> Sweep:
    ids, labels = [str(one) for one in said["runs"]], [str(one) for one in said.get("labels", [])]
    labels = labels if len(labels) == len(ids) else ids
    known = [pair for pair in zip(ids, labels, strict=True) if Path(pair[0]).name == pair[0]]
    return Sweep(
        path=path,
        name=str(said.get("name") or path.name),
        created=figure(said.get("created")) or 0.0,
        runs=tuple(Run(locations.runs_folder() / one) for one, _ in known),
        labels=tuple(label for _, label in known),
        baseline=str(said.get("baseline") or ""),
        halving=said.get("halving") is True,
        preset=dict(said.get("preset") or {}),
        grid={str(key): tuple(values) for key, values in (said.get("grid") or {}).items()},
    )


def list_sweeps() -> list[Sweep]:
    """Every sweep, newest first."""
    try:
        paths = [path for path in locations.sweeps_folder().iterdir() if path.is_dir()]
    except OSError:
        return []
    found = [sweep for path in paths if (sweep := read(path))]
    return sorted(found, key=lambda one: (one.created, one.id), reverse=True)


def find(reference: str) -> Sweep:
    """The sweep a command line names: an id, a unique prefix of one, a unique name, or `last`.

    Raises:
        BadInput: there is none, or several fit.
    """
    found = list_sweeps()
    if reference == "last" and found:
        return found[0]
    exact = [one for one in found if one.id == reference]
    named = [one for one in found if one.name == reference]
    fitting = exact or named or [one for one in found if reference and one.id.startswith(reference)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        ids = ", ".join(one.id for one in fitting[:5])
        raise Ambiguous(f'"{reference}" fits {len(fitting)} sweeps: {ids}.', "Type more of the id.")
    raise BadInput(f'There is no sweep "{reference}".', "`lora-tui sweep --list` lists them.")


def state_of(sweep: Sweep) -> str:
    """How a sweep stands: `running` while one of its runs works, `queued` while one waits."""
    waits = any(queue.read(run) for run in sweep.runs)  # first: a start takes the lock, then this
    if any(runs.is_alive(run) for run in sweep.runs):
        return "running"
    return "queued" if waits else "finished"


def racing() -> list[Sweep]:
    """The sweeps with halving that still have a run at work, or one that waits."""
    return [one for one in list_sweeps() if one.halving and any(map(queue.is_open, one.runs))]


def forget(sweep: Sweep) -> None:
    """Remove a sweep; its runs stay.

    Raises:
        LoraTuiError: its folder cannot be removed.
    """
    try:
        shutil.rmtree(sweep.path)
    except OSError as error:
        raise LoraTuiError(
            f"{sweep.id} was not removed: {error}.", "Remove its folder by hand."
        ) from error
