"""A child process that quantises one file: if llama.cpp aborts, no more than this ends.

Reads `request.json`; what llama.cpp says goes to standard output.
"""

import ctypes
import json
import os
import signal
import sys
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import gguf

_SENTINELS = {"nthread": 0x1D2C3B4A, "ftype": 7, "output_tensor_type": 5, "token_embedding_type": 6}
_FLAGS = {"allow_requantize": True, "quantize_output_tensor": False, "only_copy": True}
_MORE_FLAGS = {"pure": False, "keep_split": True, "dry_run": False}
_TAKEN = "have importance matrix data"  # llama.cpp says so once it has one
_PARENT_DIED = 1  # prctl(2): PR_SET_PDEATHSIG


def main(folder: Path) -> int:
    """Do what the request in `folder` says."""
    _die_with_parent()
    request = json.loads((folder / "request.json").read_text("utf-8"))
    if command := request["command"]:  # a llama.cpp that is built; it keeps to what was just set
        os.execv(command[0], command)
    from cyllama.llama import llama_cpp

    said: list[str] = []

    def show(_level: int, text: str) -> None:
        sys.stdout.write(text)
        if _TAKEN in text:
            said.append(text)
        if text.endswith("\n"):
            sys.stdout.flush()

    llama_cpp.set_log_callback(show)
    settings = llama_cpp.LlamaModelQuantizeParams()
    matrix = _Matrix(Path(request["matrix"])) if request["matrix"] else None
    try:
        if matrix is not None:
            _hand_over(settings, matrix.address)
        settings.ftype, settings.nthread = request["number"], request["threads"]
        llama_cpp.model_quantize(request["source"], request["target"], settings)
        if matrix is not None and not said:
            raise RuntimeError("this cyllama did not take the importance matrix")
    except RuntimeError as error:
        print(error, flush=True)
        return 1
    return 0


def _die_with_parent() -> None:
    """Where the system knows how; elsewhere an orphan goes on to the end of its file."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)


class _Entry(ctypes.Structure):
    """llama.h: `struct llama_model_imatrix_data`; the list ends with one without a name."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_size_t),
    )


class _Matrix:
    """An importance matrix as llama.cpp takes it: means of squares, by the tensors' names."""

    def __init__(self, path: Path) -> None:
        self._kept: list[array[float]] = []
        entries = [
            _Entry(name.encode(), self._keep(values), len(values))
            for name, values in _means(path).items()
        ]
        self._entries = (_Entry * (len(entries) + 1))(*entries)
        self.address = ctypes.addressof(self._entries)

    def _keep(self, values: "array[float]") -> int:
        self._kept.append(values)
        return values.buffer_info()[0]


def _means(path: Path) -> "dict[str, array[float]]":
    """What an imatrix file says: sums of squares and how many rows went in (tools/imatrix)."""
    data = path.read_bytes()
    found: dict[str, array[float]] = {}
    for entry in gguf.read_head(path).tensors:
        found[entry.name] = array("f", data[entry.start : entry.start + entry.bytes])
    names = [name.removesuffix(".in_sum2") for name in found if name.endswith(".in_sum2")]
    return {name: _divided(found[f"{name}.in_sum2"], found[f"{name}.counts"][0]) for name in names}


def _divided(sums: "array[float]", count: float) -> "array[float]":
    return array("f", (value / count for value in sums))


def _hand_over(settings: Any, address: int) -> None:
    """Put the matrix into the settings, for which cyllama has no setter.

    Its object holds llama.cpp's struct. Where, and whether the struct is as llama.h has it, is
    found by values that are set and looked for; nothing is written unless all of them are there.

    Raises:
        RuntimeError: the struct is not where and as it is expected.
    """
    wanted = {**_SENTINELS, **_FLAGS, **_MORE_FLAGS}
    before = {name: getattr(settings, name) for name in wanted}
    _set(settings, wanted)
    size = type(settings).__basicsize__
    memory = ctypes.string_at(id(settings), size)
    numbers = b"".join(value.to_bytes(4, sys.byteorder) for value in _SENTINELS.values())
    flags = bytes([*_FLAGS.values(), *_MORE_FLAGS.values()])
    place = memory.find(numbers)
    pointer = place + 24  # four integers, six flags, two bytes that nobody uses
    _set(settings, before)
    is_there = place >= 0 and memory.count(numbers) == 1 and pointer + 32 <= size
    if not is_there or memory[place + 16 : place + 22] != flags or any(memory[pointer:][:32]):
        raise RuntimeError("this cyllama keeps its settings elsewhere: no matrix can be given")
    ctypes.c_void_p.from_address(id(settings) + pointer).value = address


def _set(settings: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(settings, name, value)
