"""Run directories: making, listing and deleting them, and telling their state.

A run is a folder; whether it lives is whether its `run.lock` is held, so a reused process id or a
`kill -9` cannot deceive.
"""

import errno
import json
import os
import platform
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core import files, locations, locks
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import figure
from lora_tui.core.files import private_folder, slug, write_atomically
from lora_tui.core.preset_files import dumps
from lora_tui.core.presets import Preset

SCHEMA = 1

_NEW = ".new"  # how the folder of a run ends that is being made
_STALE = 86_400.0  # seconds


@dataclass(frozen=True, slots=True, order=True)
class Run:
    """A run directory; every path in it has its name here."""

    path: Path

    @property
    def id(self) -> str:
        """The folder's name: sorts by time."""
        return self.path.name

    @property
    def preset(self) -> Path:
        """Exactly what ran."""
        return self.path / "preset.toml"

    @property
    def info(self) -> Path:
        """Name, kind, created, command, host, versions."""
        return self.path / "run.json"

    @property
    def events(self) -> Path:
        """The truth."""
        return self.path / "events.jsonl"

    @property
    def log(self) -> Path:
        """Everything else the engine printed."""
        return self.path / "engine.log"

    @property
    def lock(self) -> Path:
        """Held by the engine while it lives."""
        return self.path / "run.lock"

    @property
    def pause(self) -> Path:
        """There while the engine is to wait between two steps; empty."""
        return self.path / "pause"

    @property
    def ticket(self) -> Path:
        """There while the run waits for its turn (core/queue.py)."""
        return self.path / "queued"

    @property
    def slurm(self) -> Path:
        """There while a SLURM job may start the run (core/slurm.py)."""
        return self.path / "slurm"

    @property
    def sbatch(self) -> Path:
        """What was submitted to SLURM."""
        return self.path / "slurm.sh"

    @property
    def slurm_log(self) -> Path:
        """What SLURM and the batch step said, over all starts."""
        return self.path / "slurm.log"

    @property
    def checkpoints(self) -> Path:
        """Trainer checkpoints, `checkpoint-<step>` each."""
        return self.path / "checkpoints"

    @property
    def report(self) -> Path:
        """The result of a data report or a check."""
        return self.path / "report.json"

    @property
    def adapter(self) -> Path:
        """The result of a LoRA run, in PEFT's format."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The result of a full fine-tuning run."""
        return self.path / "model"

    @property
    def merged(self) -> Path:
        """The base with the adapter merged into it, or the result of a merge of several."""
        return self.path / "merged"

    @property
    def exports(self) -> Path:
        """What was exported from it, each file with its proof."""
        return self.path / "exports"


def create(
    preset: Preset,
    *,
    name: str = "",
    command: str = "",
    kind: str = "train",
    options: Mapping[str, Any] | None = None,
) -> Run:
    """A new run directory with `preset.toml` and `run.json`; nothing is started.

    `options` are for the job alone: they say nothing about the preset.

    Raises:
        LoraTuiError: the disk did not take it; nothing is left behind.
    """
    name = name or free_name(preset.name or "run")
    created = time.time()
    folder = locations.jobs_folder(kind)
    info = {
        "schema": SCHEMA,
        "name": name,
        "kind": kind,
        "created": created,
        "command": command,
        "host": platform.node(),
        "preset": preset.name,
        "model": preset.model.name_or_path,
        **({"options": dict(options)} if options else {}),
    }
    wanted = f"{time.strftime('%Y%m%d-%H%M', time.localtime(created))}-{slug(name)}"
    try:
        private_folder(folder)
        _remove_stale(folder)
        new = Run(Path(tempfile.mkdtemp(prefix=".", suffix=_NEW, dir=folder)))
    except OSError as error:
        raise LoraTuiError(
            f"No run directory can be made in {folder}: {error}.",
            "Set LORA_TUI_HOME to a folder on a disk with room.",
        ) from error
    try:
        write_atomically(new.preset, dumps(preset))
        write_atomically(new.info, json.dumps(info, indent=1))
        run = _named(new, folder, wanted)
    except OSError as error:
        shutil.rmtree(new.path, ignore_errors=True)
        raise LoraTuiError(
            f"The run was not created: {error}.", "Is there room on the disk?"
        ) from error
    return run


def free_name(wanted: str) -> str:
    """`wanted`, or `wanted-2` and so on when runs are called that already."""
    taken = {run.id[len("20261123-1412-") :] for run in list_runs()}
    return files.free_name(wanted, taken.__contains__)


def _named(new: Run, folder: Path, wanted: str) -> Run:
    """Give a whole run its name; a second one of the same minute and name gets `-2`.

    Runs and merges are asked for by their ids alike, so no merge gets that of a run.
    """
    named = {locations.runs_folder(), locations.merges_folder()}
    others = named - {folder} if folder in named else set()
    for number in range(1, 10_000):
        path = folder / (wanted if number == 1 else f"{wanted}-{number}")
        if path.exists() or any((other / path.name).exists() for other in others):
            continue
        try:
            new.path.rename(path)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ENOTEMPTY}:  # another was quicker
                continue
            raise
        files.sync(folder)
        return Run(path)
    raise OSError(f"10,000 runs are called {wanted}")


def _remove_stale(folder: Path) -> None:
    """Remove what a crash left of a run that was being made, yesterday or before."""
    for path in folder.glob(f".*{_NEW}"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _STALE:
                shutil.rmtree(path)


def list_runs(folder: Path | None = None) -> list[Run]:
    """Every run, or every report when its folder is given, newest first."""
    folder = folder or locations.runs_folder()
    try:
        entries = [entry for entry in os.scandir(folder) if entry.name[:1] != "."]
        names = [entry.name for entry in entries if entry.is_dir()]
    except OSError:
        return []
    crowded = {minute for minute, many in Counter(map(_minute, names)).items() if many > 1}

    def age(run: Run) -> tuple[str, float, str]:
        """Ids tell the minute; only runs of one minute are asked for more."""
        minute = _minute(run.id)
        created = figure(read_info(run).get("created")) if minute in crowded else None
        return minute, created or 0.0, run.id

    return sorted((Run(folder / name) for name in names), key=age, reverse=True)


def _minute(id_: str) -> str:
    return id_[: len("20261123-1412")]


def read_info(run: Run) -> dict[str, Any]:
    """`run.json`; empty when it is missing, garbage, or cannot be read."""
    try:
        return _info(run)
    except OSError:
        return {}


def _info(run: Run) -> dict[str, Any]:
    try:
        info = json.loads(run.info.read_text("utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return info if isinstance(info, dict) else {}


def add_to_info(run: Run, **facts: Any) -> None:
    """Add what became known later to `run.json`.

    Raises:
        OSError: it cannot be read, or the disk did not take it; the old file stays.
    """
    write_atomically(run.info, json.dumps({**_info(run), **facts}, indent=1))


def is_alive(run: Run) -> bool:
    """Whether an engine holds the run's lock now."""
    return locks.is_held(run.lock)


def delete(run: Run) -> None:
    """Remove the run and everything made in it.

    Raises:
        LoraTuiError: it is alive, or its files cannot be removed.
    """
    try:
        with run.lock.open("a") as lock:  # held, so that nobody resumes it meanwhile
            locks.take(lock.fileno())
            run.ticket.unlink(missing_ok=True)  # first, or the queue takes it for one that fails
            shutil.rmtree(run.path)
    except BlockingIOError as error:
        raise LoraTuiError(
            f"{run.id} is still running.", f"Stop it first: lora-tui stop {run.id}"
        ) from error
    except OSError as error:
        raise LoraTuiError(
            f"{run.id} was not removed: {error}.", "Remove its folder by hand."
        ) from error


def checkpoint_steps(run: Run) -> list[int]:
    """Steps of the complete checkpoints, rising; one without `trainer_state.json` is incomplete."""
    try:
        names = [entry.name for entry in run.checkpoints.iterdir()]
    except OSError:
        return []
    matches = (re.fullmatch(r"checkpoint-(\d+)", name) for name in names)
    return sorted(
        int(match[1])
        for match in matches
        if match and (run.checkpoints / match[0] / "trainer_state.json").is_file()
    )
