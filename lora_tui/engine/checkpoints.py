"""Checkpoints on disk: which of them a run can really go on from."""

import json
import shutil
import zipfile
from pathlib import Path

from lora_tui.core import runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import read_header

_TORCH_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")


def last_complete(run: Run) -> tuple[int, Path] | None:
    """The newest checkpoint that is whole, with its step.

    `trainer_state.json` is written last, so one without it was cut off; files cut off by a crash of
    the machine are found by their own ends.
    """
    for step in reversed(runs.checkpoint_steps(run)):
        path = run.checkpoints / f"checkpoint-{step}"
        if is_whole(path, step):
            return step, path
    return None


def discard_broken(run: Run) -> None:
    """Remove what a crash left half written: it would count when old checkpoints are cleared."""
    for path in run.checkpoints.glob("checkpoint-*"):
        step = path.name.rpartition("-")[2]
        if not (step.isdecimal() and is_whole(path, int(step))):
            shutil.rmtree(path, ignore_errors=True)


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
        return all(_is_archive(path / name) for name in _TORCH_FILES)
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
