"""Checkpoints on disk: which of them a run can really go on from."""

import json
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

from lora_tui.core import runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import sync
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import read_header
from lora_tui.engine import placing

KEPT = 2


def last_complete(run: Run) -> tuple[int, Path] | None:
    """The newest checkpoint that is whole, with its step.

    They take their place whole; files that a disk lost later are found by their own ends.
    """
    for step in reversed(runs.checkpoint_steps(run)):
        path = run.checkpoints / f"checkpoint-{step}"
        if is_whole(path, step):
            return step, path
    return None


def refuse_removed(run: Run) -> None:
    """Make sure that nothing is saved in a run that a user removed while it was at work.

    Raises:
        LoraTuiError: its folder is gone.
    """
    if not run.preset.exists():
        raise LoraTuiError(
            f"{run.id} was removed while its engine was at work.", "What it had saved went with it."
        )


def discard_broken(run: Run) -> None:
    """Remove what a crash left half written or half removed; nobody else may be at work there."""
    for path in run.checkpoints.glob(".*.old"):
        placing.recover(path.with_name(path.name.removeprefix(".").removesuffix(".old")))
    for path in run.checkpoints.glob(".*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in run.checkpoints.glob("checkpoint-*"):
        step = path.name.rpartition("-")[2]
        if not (step.isdecimal() and is_whole(path, int(step))):
            _remove(path)


def prune(run: Run, step: int, best: int) -> None:
    """Remove the oldest beyond `KEPT`, now that the checkpoint of `step` is whole and on disk.

    It stays, whatever others there are, and so does the one that measured best.
    """
    steps = runs.checkpoint_steps(run)
    kept = {step, best}.intersection(steps)
    others = [one for one in reversed(steps) if one not in kept]
    for old in others[max(0, KEPT - len(kept)) :]:
        _remove(run.checkpoints / f"checkpoint-{old}")


def _remove(path: Path) -> None:
    """Let a checkpoint vanish at one stroke, then its files; what cannot be removed stays."""
    gone = path.with_name(f".{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    with suppress(OSError):
        path.rename(gone)
        sync(path.parent)
        shutil.rmtree(gone, ignore_errors=True)


def is_whole(path: Path, step: int) -> bool:
    """Whether every file a resume reads is there and whole.

    Raises:
        OSError: a file that is there cannot be read: nobody knows, so nothing may be thrown away.
    """
    try:
        state = json.loads((path / "trainer_state.json").read_text("utf-8"))
        weights = list(path.glob("*.safetensors"))
        if not all(_has_its_length(file) for file in weights):
            return False
        if not isinstance(state, dict) or state.get("global_step") != step or not weights:
            return False
        for file in path.glob("*config.json"):
            json.loads(file.read_text("utf-8"))
        states = list(path.glob("rng_state*.pth"))  # one for each process
        archives = (path / "optimizer.pt", path / "scheduler.pt", *path.glob("*.pt"), *states)
        return bool(states) and all(_is_archive(file) for file in archives)
    except (FileNotFoundError, ValueError, LoraTuiError):
        return False


def _is_archive(file: Path) -> bool:
    """Whether a file of torch's is whole: a zip archive, whose directory stands at its end."""
    with file.open("rb") as opened:
        return zipfile.is_zipfile(opened)


def _has_its_length(file: Path) -> bool:
    """Whether a safetensors file is as long as its own header says."""
    with file.open("rb") as opened:
        header = 8 + int.from_bytes(opened.read(8), "little")
    return file.stat().st_size == header + sum(tensor.bytes for tensor in read_header(file))
