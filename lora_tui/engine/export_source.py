"""What an export starts from: a folder that llama.cpp's converter reads, and the file it makes."""

import errno
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lora_tui.core import gguf, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.export_check import source_of
from lora_tui.core.export_tools import Tools
from lora_tui.core.exporting import ExportPlan
from lora_tui.core.gguf import Entry, Head
from lora_tui.core.quantisation import QUANTS, Quant
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import read_model
from lora_tui.engine import converter, merging
from lora_tui.engine.export_reference import KEPT
from lora_tui.engine.job import TorchJob
from lora_tui.engine.quantiser import disk_full

_MERGED = ".merged"
_EMBEDDING = "token_embd.weight"
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_PACE = 0.5  # seconds between two looks at how large a file is


def first_type(plan: ExportPlan, wanted: list[str]) -> Quant:
    """What the model is converted to, once: the type that loses nothing the others keep.

    f16 has more digits than bf16 and less range; a model in bf16 becomes bf16 as it is.
    """
    if "f32" in wanted or ("bf16" in wanted and _stored(plan) != {"BF16"}):
        return QUANTS["f32"]
    return QUANTS["bf16" if "bf16" in wanted else "f16"]


def _stored(plan: ExportPlan) -> set[str]:
    """The number formats of a whole model's matrices; none for what is still to be merged."""
    folder = source_of(plan.member)
    if plan.member.method == "lora" or folder is None:
        return set()
    return {tensor.dtype for tensor in read_model(folder) if len(tensor.shape) > 1}


@contextmanager
def model_folder(job: TorchJob, plan: ExportPlan, first: Quant) -> Iterator[Path]:
    """The whole model: its own folder, or the adapter merged into its base for as long as needed.

    Raises:
        LoraTuiError: it is not here, or cannot be merged.
    """
    member = plan.member
    if member.method != "lora":
        folder = source_of(member)
        if folder is None:
            raise LoraTuiError(
                f"{member.path} is not on this machine.",
                f"Fetch it first: hf download {member.path}",
            )
        yield folder
        return
    folder = job.run.path / _MERGED
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    dtype = "float32" if first.name == "f32" else merging.EXPORT
    try:
        with merging.explained(folder):
            written = merging.fill(job.preset, job.platform, member, folder, dtype, stop=job.stop)
        for warning in written.warnings:
            job.warn(warning)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def convert(tools: Tools, source: Path, target: Path, quant: Quant, *, trust: bool = False) -> Head:
    """Convert a folder, and read back what came of it.

    Raises:
        LoraTuiError: the converter does not take the model, the disk is full, or the file is cut
            off.
    """
    with room(target.parent):
        converter.convert(tools, source, target, quant.name, trust=trust)
    return gguf.read_head(target)


def convert_base(tools: Tools, base: Path, target: Path, *, trust: bool = False) -> Quant:
    """Convert a base to the smaller type that holds its weights, and say which.

    Raises:
        LoraTuiError: as `convert`.
    """
    try:
        convert(tools, base, target, QUANTS["f16"], trust=trust)
    except converter.TooLarge:
        convert(tools, base, target, QUANTS["f32"], trust=trust)
        return QUANTS["f32"]
    return QUANTS["f16"]


def require_fit(adapter: Path, whole: Path) -> None:
    """Make sure that each update of an adapter's file has a tensor of its shape in its base's.

    Raises:
        LoraTuiError: one has none.
    """
    places = {entry.name: entry.shape for entry in gguf.read_head(whole).tensors}
    shapes = {entry.name: entry.shape for entry in gguf.read_head(adapter).tensors}
    for name in _updated(shapes):
        columns, rows = shapes[f"{name}.lora_a"][0], shapes[f"{name}.lora_b"][1]
        if name == _EMBEDDING:
            columns = shapes[f"{name}.lora_a"][1]
        if places.get(name) != (columns, rows):
            raise LoraTuiError(
                f"The base has no tensor {name} of the adapter's shape ({rows:,} x {columns:,}).",
                "Name the base that it was trained on in its adapter_config.json.",
            )


def apply(adapter: Path, whole: Path) -> None:
    """Put an adapter's file into the weights of its base's, as llama.cpp computes with both.

    Its update is alpha / r times B times A (src/llama-adapter.h); of the embeddings, A is stored
    the other way round.
    """
    head, base = gguf.read_head(adapter), gguf.read_head(whole)
    alpha = float(head.settings["adapter.lora.alpha"])
    halves = {entry.name: _values(adapter, entry, "r") for entry in head.tensors}
    places = {entry.name: entry for entry in base.tensors}
    for name in _updated(halves):
        first, second = halves[f"{name}.lora_a"], halves[f"{name}.lora_b"]
        first = first.T if name == _EMBEDDING else first
        weight = _values(whole, places[name], "r+")
        weight[:] = weight + alpha / len(first) * (second @ first)


def _updated(halves: Iterable[str]) -> list[str]:
    return [name.removesuffix(".lora_a") for name in halves if name.endswith(".lora_a")]


def _values(path: Path, entry: Entry, mode: Literal["r", "r+"]) -> Any:
    kind = {"f32": np.float32, "f16": np.float16}[entry.type]
    return np.memmap(path, kind, mode, entry.start, entry.shape[::-1])


@contextmanager
def room(folder: Path) -> Iterator[None]:
    """Say it in the user's words when a disk has no room left.

    Raises:
        LoraTuiError: in place of the system's error.
    """
    try:
        yield
    except OSError as error:
        is_short = error.errno is None and "requested and" in str(error)  # numpy's own words
        if error.errno in _NO_ROOM or is_short:
            raise disk_full(folder) from error
        raise


@contextmanager
def growing(path: Path, size: int | None, tell: Callable[[float], object]) -> Iterator[None]:
    """Tell how much of a file is written, for as long as it is."""
    over = threading.Event()

    def watch() -> None:
        while size and not over.wait(_PACE):
            with suppress(OSError):
                tell(min(1.0, path.stat().st_size / size))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()


def clear_dead(jobs: Path) -> None:
    """Remove the merged models and logits that killed exports left in their own folders."""
    for run in runs.list_runs(jobs):
        if not runs.is_alive(Run(run.path)):
            shutil.rmtree(run.path / _MERGED, ignore_errors=True)
            with suppress(OSError):
                (run.path / KEPT).unlink()
