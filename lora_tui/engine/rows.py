"""Rows on disk: as many as there are, in the memory of one."""

import hashlib
import json
import mmap
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, overload

from lora_tui.engine.readers import Broken, Row

NAMED = 20
"""How many broken places are named; the rest is counted."""

_SAMPLED = 1000  # rows whose columns are looked at: the first alone may lack an optional one


class Rows(Sequence[Row]):
    """Rows copied once into an unnamed file, and read from it one at a time.

    A copy, so that every kind of file is the same from here on, and nothing changes under a run
    when somebody edits the file. 8 bytes a row stay in memory. The file goes with the process.

    Raises:
        OSError: no room for the copy in `folder`.
    """

    def __init__(self, found: Iterable[Row | Broken], folder: Path) -> None:
        self.broken: Counter[str] = Counter()
        self.named: list[Broken] = []
        columns: dict[str, None] = {}
        digest = hashlib.sha256()
        self._ends = array("q", [0])
        with tempfile.TemporaryFile(dir=folder) as file:
            for item in found:
                if isinstance(item, Broken):
                    self.broken[item.reason] += 1
                    if len(self.named) < NAMED:
                        self.named.append(item)
                    continue
                if len(self) < _SAMPLED:
                    columns.update(dict.fromkeys(map(str, item)))
                text = json.dumps(item, ensure_ascii=False, default=str)
                data = text.encode("utf-8", "surrogatepass")
                digest.update(data)
                digest.update(b"\n")
                file.write(data)
                self._ends.append(self._ends[-1] + len(data))
            file.flush()
            self._data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) if self._ends[-1] else b""
        self.columns = tuple(columns)
        self.fingerprint = digest.hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        data = self._data[self._ends[number] : self._ends[number + 1]]
        return json.loads(data.decode("utf-8", "surrogatepass"))
