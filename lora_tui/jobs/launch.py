"""Starting runs and other jobs, and letting runs go on."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from lora_tui.core import queue as tickets
from lora_tui.core import runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.locations import jobs_folder, local_path, reports_folder
from lora_tui.core.named import lost
from lora_tui.core.preset_files import changed, load
from lora_tui.core.presets import Preset, is_demo
from lora_tui.core.runs import Run
from lora_tui.core.settings import SettingsError
from lora_tui.core.slurm import forbid
from lora_tui.core.summary import headline
from lora_tui.jobs import control, machine, queue, slurm
from lora_tui.jobs.spawn import spawn

KEPT_REPORTS = 10

_OF_MEMBERS = frozenset({"compare", "merge", "export"})
"""Whose preset is made for them: what it names and is not there, their engine says."""

Launched = TypeVar("Launched")


def start(
    preset: Preset,
    *,
    name: str = "",
    command: str = "",
    kind: str = "train",
    options: Mapping[str, Any] | None = None,
) -> Run:
    """Create a run of `preset`, or a job of another kind, and launch its engine.

    A run takes its turn: where its device is busy, it waits in the queue. Other jobs start at once.

    Raises:
        LoraTuiError: a file the preset names is missing, this machine cannot do what it says, or
            the run cannot be made or started.
    """
    begin: Callable[[Run, str], object] = queue.submit if kind == "train" else spawn
    return _start(preset, begin, name=name, command=command, kind=kind, options=options)[0]


def submit(preset: Preset, *, name: str, command: str, options: Sequence[str]) -> Run:
    """As `start`, but SLURM starts the run, on a machine of its choice.

    `options` are for its sbatch.

    Raises:
        LoraTuiError: as `start`, or SLURM does not take it.
    """
    slurm.refuse(preset, options)
    run = runs.create(located(preset), name=name, command=command)
    _begin(run, "train", partial(slurm.submit, options=options))
    return run


def converse(
    preset: Preset,
    *,
    name: str,
    kind: str,
    options: Mapping[str, Any],
    environment: Mapping[str, str],
) -> tuple[Run, subprocess.Popen[bytes]]:
    """As `start`, but the engine is told what to do through its standard input, a pipe.

    The pipe ends when this process does, whatever ends it, and the engine ends with the pipe.
    `environment` are more variables for the engine's own.

    Raises:
        LoraTuiError: as `start`.
    """

    def launched(run: Run, verb: str) -> subprocess.Popen[bytes]:
        return spawn(run, verb, stdin=subprocess.PIPE, environment=environment)

    return _start(preset, launched, name=name, command="", kind=kind, options=options)


def _start(
    preset: Preset,
    launched: Callable[[Run, str], Launched],
    *,
    name: str,
    command: str,
    kind: str,
    options: Mapping[str, Any] | None,
) -> tuple[Run, Launched]:
    if kind == "train":
        machine.refuse(preset)
    if jobs_folder(kind) == reports_folder():
        _make_room(kind)
    if kind not in _OF_MEMBERS:
        preset = located(preset)
    run = runs.create(preset, name=name, command=command, kind=kind, options=options)
    return run, _begin(run, kind, launched)


def _begin(run: Run, verb: str, launched: Callable[[Run, str], Launched]) -> Launched:
    """Launch the first engine of a new run; one that cannot be launched leaves no run behind.

    Raises:
        LoraTuiError: as `queue.submit` and `spawn`.
    """
    try:
        return launched(run, verb)
    except LoraTuiError:
        with suppress(LoraTuiError):  # what went wrong first is what the user has to know
            runs.delete(run)  # it would wait in the list for ever
        raise


def _make_room(kind: str) -> None:
    """Remove old reports of a kind, so that there is room for a new one: nobody looks at them."""
    found = runs.list_runs(reports_folder())
    same = [run for run in found if runs.read_info(run).get("kind") == kind]
    for old in same[KEPT_REPORTS - 1 :]:
        with suppress(LoraTuiError):  # it is still at work
            runs.delete(old)


def resume(run: Run, *, options: Sequence[str] | None = None) -> None:
    """Let a paused or held run go on, or queue one that ended: it restarts at its checkpoint.

    One that waits for another machine waits for this one from now on.

    With `options` for its sbatch, none or more, SLURM is to restart it.

    Raises:
        LoraTuiError: it is at work already, or it ended as planned.
    """
    if ticket := tickets.read(run):
        if not ticket.held and (ticket.is_ours or ticket.slurm):
            raise LoraTuiError(
                f"{run.id} waits for its turn already.", "See who is before it: lora-tui queue"
            )
        queue.release(run)
        return
    if runs.is_alive(run):
        if control.go_on(run):
            return
        raise LoraTuiError(f"{run.id} is running already.", f"Watch it: lora-tui watch {run.id}")
    if headline(run).state == "finished":
        raise LoraTuiError(
            f"{run.id} is finished; there is nothing to resume.",
            f"Branch it for more steps: lora-tui resume {run.id} --set training.max_steps=NUMBER",
        )
    preset = load(run.preset)
    if options is not None:
        slurm.refuse(preset, options)
    control.go_on(run)
    if options is None:
        forbid(run)  # a job that SLURM launches once more would be the second
        queue.submit(run, "resume")
    else:
        slurm.submit(run, "resume", options)


def located(preset: Preset) -> Preset:
    """`preset` with local paths made absolute: the engine runs in another folder.

    Raises:
        SettingsError: paths it names do not exist.
    """
    if wrong := lost(preset):
        raise SettingsError("The settings name what is not here", wrong)
    sources = [_located(item) for item in preset.data.sources]
    changes = {
        "model.name_or_path": _located(preset.model.name_or_path),
        "data.source": sources[0] if isinstance(preset.data.source, str) else sources,
    }
    return changed(preset, changes)


def _located(name: str) -> str:
    path = None if is_demo(name) else local_path(name)
    return str(path) if path else name
