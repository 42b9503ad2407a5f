"""The head of a GGUF file: what the model is and every tensor's type and place, without its data.

Format: github.com/ggml-org/ggml, docs/gguf.md. Lists, as the vocabulary, are passed over: reading
them into Python takes as long as converting a small model.
"""

import math
import mmap
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError

_SCALARS = "BbHhIif?"  # types 0 to 7; 8 is a string, 9 a list
_WIDE = {10: "Q", 11: "q", 12: "d"}
_STRING, _LIST = 8, 9
_MOST = 1_000_000  # tensors or settings: more is a damaged file

TYPES = {
    0: ("f32", 1, 4),
    1: ("f16", 1, 2),
    2: ("q4_0", 32, 18),
    3: ("q4_1", 32, 20),
    6: ("q5_0", 32, 22),
    7: ("q5_1", 32, 24),
    8: ("q8_0", 32, 34),
    10: ("q2_k", 256, 84),
    11: ("q3_k", 256, 110),
    12: ("q4_k", 256, 144),
    13: ("q5_k", 256, 176),
    14: ("q6_k", 256, 210),
    16: ("iq2_xxs", 256, 66),
    17: ("iq2_xs", 256, 74),
    18: ("iq3_xxs", 256, 98),
    19: ("iq1_s", 256, 50),
    20: ("iq4_nl", 32, 18),
    21: ("iq3_s", 256, 110),
    22: ("iq2_s", 256, 82),
    23: ("iq4_xs", 256, 136),
    24: ("i8", 1, 1),
    25: ("i16", 1, 2),
    26: ("i32", 1, 4),
    27: ("i64", 1, 8),
    28: ("f64", 1, 8),
    29: ("iq1_m", 256, 56),
    30: ("bf16", 1, 2),
    34: ("tq1_0", 256, 54),
    35: ("tq2_0", 256, 66),
    39: ("mxfp4", 32, 17),
}
"""ggml's types by their number: the name, and how many weights stand in how many bytes."""

BLOCKS = {name: (weights, size) for name, weights, size in TYPES.values()}
"""The same by name."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor: its ggml type, its shape with the length of a row first, and where it lies."""

    name: str
    type: str
    shape: tuple[int, ...]
    start: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Head:
    """What a file says of itself; `settings` are those that are one number, word or text."""

    settings: Mapping[str, Any]
    tensors: tuple[Entry, ...]

    @property
    def types(self) -> dict[str, int]:
        """How many tensors there are of each type, the most first."""
        return dict(Counter(entry.type for entry in self.tensors).most_common())


def read_head(path: Path) -> Head:
    """The head of a file that is whole.

    Raises:
        LoraTuiError: it is no GGUF file, or its last bytes are missing.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            head = _Reader(data).head()
            size = len(data)
    except (OSError, ValueError, LookupError, struct.error, OverflowError) as error:
        why = "its head is cut off" if isinstance(error, struct.error) else error
        raise LoraTuiError(
            f"{path} is not a readable GGUF file: {why}.", "Export it again."
        ) from error
    missing = max((entry.start + entry.bytes for entry in head.tensors), default=0) - size
    if missing > 0:
        raise LoraTuiError(
            f"{path} is cut off: {missing:,} bytes are missing at its end.", "Export it again."
        )
    return head


class _Reader:
    """Goes through a file's bytes once."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._at = data, 0

    def head(self) -> Head:
        """Everything before the tensors' data.

        Raises:
            ValueError: it cannot be what it says it is.
        """
        if self._data[:4] != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        self._at = 4
        version, tensors, settings = self._take("I"), self._take("Q"), self._take("Q")
        if version not in {2, 3} or tensors > _MOST or settings > _MOST:
            raise ValueError(f"its version {version} is not known")
        found = {self._text(): self._value(self._take("I")) for _ in range(settings)}
        entries = [self._entry() for _ in range(tensors)]
        step = int(found.get("general.alignment") or 32)
        begin = -(-self._at // step) * step
        placed = tuple(
            Entry(name, kind, shape, begin + start, size)
            for name, kind, shape, start, size in entries
        )
        return Head({name: value for name, value in found.items() if value is not None}, placed)

    def _take(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self._data, self._at)
        self._at += struct.calcsize(f"<{code}")
        return value

    def _text(self) -> str:
        length = self._take("Q")
        if length > len(self._data) - self._at:
            raise ValueError("it is cut off")
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _LIST:
            return self._pass_list()
        return self._take(_code(kind))

    def _pass_list(self) -> None:
        kind, length = self._take("I"), self._take("Q")
        if kind == _LIST:
            for _ in range(length):
                self._pass_list()
        elif kind == _STRING:
            data, at = self._data, self._at
            unpack = struct.Struct("<Q").unpack_from
            for _ in range(length):
                at += 8 + unpack(data, at)[0]
            self._at = at
        else:
            self._at += length * struct.calcsize(_code(kind))

    def _entry(self) -> tuple[str, str, tuple[int, ...], int, int]:
        name, dimensions = self._text(), self._take("I")
        if dimensions > 8:
            raise ValueError(f"{name} has {dimensions} dimensions")
        shape = tuple(self._take("Q") for _ in range(dimensions))
        number, start = self._take("I"), self._take("Q")
        if number not in TYPES:
            raise ValueError(f"{name} is of the unknown type {number}")
        kind, weights, size = TYPES[number]
        return name, kind, shape, start, math.prod(shape) // weights * size


def _code(kind: int) -> str:
    return _SCALARS[kind] if kind < len(_SCALARS) else _WIDE[kind]
