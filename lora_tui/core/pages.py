"""Rows to page through: written by a data report while it reads, read by whoever shows them.

`rows.jsonl` holds a page a line, `rows.index` a pair of 64-bit integers for each: the row's number
and where its line begins. A line is on disk before its index entry, so a reader never sees half of
one.
"""

import json
import sys
from array import array
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

MOST_BYTES = 16 << 20
"""Disk that the first rows may take; beyond them only those found odd are kept."""

LONGEST_TEXT = 20_000
"""Characters shown of one text."""

_MOST_ITEMS = 100  # of a list inside a row
_DEEPEST = 6
_ENTRY = 16

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Page:
    """One row as it came and as it is trained on.

    `spans` are the characters of `text` that are trained; from `cut` on it is cut off. `use` is
    `to train`, `held out` or `not used`; `left` says why the row is left out.
    """

    number: int
    place: str
    raw: Mapping[str, Any]
    text: str = ""
    spans: tuple[Span, ...] = ()
    cut: int | None = None
    tokens: int = 0
    trained: int = 0
    left: str = ""
    use: str = ""

    @property
    def segments(self) -> list[tuple[str, str]]:
        """The text in pieces, each `trained`, `given` or `cut`."""
        end = len(self.text) if self.cut is None else self.cut
        edges = sorted(
            {0, end, len(self.text), *(min(at, end) for span in self.spans for at in span)}
        )
        return [(self.text[start:stop], self._kind(start, end)) for start, stop in pairwise(edges)]

    def _kind(self, at: int, end: int) -> str:
        if at >= end:
            return "cut"
        return "trained" if any(start <= at < stop for start, stop in self.spans) else "given"


class PageWriter(AbstractContextManager["PageWriter"]):
    """Appends pages to a folder."""

    def __init__(self, folder: Path) -> None:
        self._files = ExitStack()
        self._rows = self._files.enter_context((folder / "rows.jsonl").open("wb"))
        self._index = self._files.enter_context((folder / "rows.index").open("wb"))
        self._pending = array("q")
        self._size = 0

    @property
    def is_full(self) -> bool:
        """Whether the first rows have taken their room."""
        return self._size >= MOST_BYTES

    def add(self, page: Page) -> None:
        """Append a page; `flush` shows it to readers."""
        fields = {name: getattr(page, name) for name in Page.__slots__}
        line = json.dumps(fields, ensure_ascii=False, default=str).encode("utf-8", "replace")
        self._pending.extend((page.number, self._size))
        self._size += self._rows.write(line + b"\n")

    def flush(self) -> None:
        """Let readers see what was added."""
        self._rows.flush()
        self._index.write(_little_endian(self._pending).tobytes())
        self._index.flush()
        self._pending = array("q")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._files:
            self.flush()


def _little_endian(numbers: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers


class Pages(Sequence[Page]):
    """The pages of a folder, as many as there are by now, by the number of their row."""

    def __init__(self, folder: Path) -> None:
        self._rows, self._index = folder / "rows.jsonl", folder / "rows.index"
        self._read = 0
        self.numbers: array[int] = array("q")
        self._starts: array[int] = array("q")

    def look(self) -> Self:
        """Learn of the pages written since."""
        try:
            with self._index.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return self
        whole = len(data) // _ENTRY * _ENTRY
        self._read += whole
        entries = array("q")
        entries.frombytes(data[:whole])
        entries = _little_endian(entries)
        self.numbers.extend(entries[::2])
        self._starts.extend(entries[1::2])
        if any(one > other for one, other in pairwise(self.numbers[-len(entries) // 2 - 1 :])):
            self._sort()  # rows found odd at the end only
        return self

    def _sort(self) -> None:
        order = sorted(range(len(self.numbers)), key=self.numbers.__getitem__)
        self.numbers = array("q", (self.numbers[at] for at in order))
        self._starts = array("q", (self._starts[at] for at in order))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, at: int) -> Page: ...
    @overload
    def __getitem__(self, at: slice) -> list[Page]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self[one] for one in range(*at.indices(len(self)))]
        with self._rows.open("rb") as file:
            file.seek(self._starts[at])
            return self._page(json.loads(file.readline()))

    @staticmethod
    def _page(document: dict[str, Any]) -> Page:
        spans = tuple((int(start), int(end)) for start, end in document.pop("spans"))
        return Page(**document, spans=spans)


def shortened(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as it came, in what JSON has, with long texts and lists cut to what is shown."""
    return {str(name): _shortened(value, LONGEST_TEXT) for name, value in row.items()}


def _shortened(value: Any, room: int, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value if len(value) <= room else f"{value[:room]}…"
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth < _DEEPEST and isinstance(value, Mapping):
        some = islice(value.items(), _MOST_ITEMS)
        return {str(key): _shortened(item, room // 4, depth + 1) for key, item in some}
    if depth < _DEEPEST and isinstance(value, list | tuple):
        cut = ["…"] * (len(value) > _MOST_ITEMS)
        return [_shortened(item, room // 4, depth + 1) for item in value[:_MOST_ITEMS]] + cut
    return f"{value!s:.{room}}"
