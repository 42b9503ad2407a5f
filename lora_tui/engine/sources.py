"""Where rows come from: a file, a folder of files, a built-in set, the Hub, or several of these."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import private_folder
from lora_tui.core.presets import DataSettings
from lora_tui.engine import failures, readers
from lora_tui.engine.readers import Broken, Row
from lora_tui.engine.rows import Rows

_DEMOS = {"demo": "demo-json", "demo-pirate": "demo-pirate"}


@dataclass(frozen=True, slots=True)
class Origin:
    """One of the sources: its rows are `first` to `first + rows` of all, each counted `weight`."""

    name: str
    first: int
    rows: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, held-out rows where they come separately, and what identifies them.

    `broken` counts the places in the files that hold no row by their reasons; `named` says where
    the first of them are.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    held_out: Sequence[Row] | None = None
    task_folder: Path | None = None
    broken: Mapping[str, int] = field(default_factory=dict)
    named: tuple[Broken, ...] = ()
    fingerprint: str = ""
    origins: tuple[Origin, ...] = ()

    def place(self, number: int) -> str:
        """Where row `number` (from 0) is, in words."""
        if number >= len(self.rows):
            return f"held-out row {number - len(self.rows) + 1:,}"
        if len(self.origins) < 2:
            return f"row {number + 1:,}"
        firsts = [origin.first for origin in self.origins]
        origin = self.origins[bisect_right(firsts, number) - 1]
        names = [Path(one.name).name for one in self.origins]
        name = Path(origin.name).name
        shown = name if names.count(name) == 1 else origin.name
        return f"{shown} row {number - origin.first + 1:,}"


class Joined(Sequence[Row]):
    """The rows of several sources, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Row]]) -> None:
        self._parts = parts
        self._firsts = [sum(map(len, parts[:at])) for at in range(len(parts) + 1)]

    def __len__(self) -> int:
        return self._firsts[-1]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        part = bisect_right(self._firsts, number) - 1
        return self._parts[part][number - self._firsts[part]]


def open_source(settings: DataSettings) -> Source:
    """The rows a preset names, of one source or of several.

    Held-out rows that come separately are taken only if every source brings some.

    Raises:
        LoraTuiError: they are not there or cannot be read.
    """
    opened = [_open(name, settings.split) for name in settings.sources]
    weights = settings.weights or (1.0,) * len(opened)
    firsts = [sum(len(one.rows) for one in opened[:at]) for at in range(len(opened))]
    origins = tuple(
        Origin(one.name, first, len(one.rows), weight)
        for one, first, weight in zip(opened, firsts, weights, strict=True)
    )
    if len(opened) == 1:
        return replace(opened[0], origins=origins)
    held_out = [one.held_out for one in opened if one.held_out is not None]
    return Source(
        name=", ".join(one.name for one in opened),
        columns=tuple(dict.fromkeys(column for one in opened for column in one.columns)),
        rows=Joined([one.rows for one in opened]),
        held_out=Joined(held_out) if len(held_out) == len(opened) else None,
        broken=sum((Counter(one.broken) for one in opened), Counter()),
        named=tuple(place for one in opened for place in one.named),
        fingerprint="-".join(one.fingerprint for one in opened),
        origins=origins,
    )


def first_rows(settings: DataSettings) -> Iterator[Row]:
    """The rows of the first source as they come, without reading all; none of the Hub's."""
    path = _path(settings.sources[0])
    for file in _files(path)[0] if path.is_dir() else [path] if path.is_file() else []:
        yield from (row for row in readers.read(file) if not isinstance(row, Broken))


def _path(name: str) -> Path:
    return locations.assets_folder() / _DEMOS[name] if name in _DEMOS else Path(name).expanduser()


def _open(name: str, split: str) -> Source:
    path = _path(name)
    if path.is_dir():
        return _open_folder(name, path)
    if path.is_file():
        return _source(name, [path])
    if not locations.is_hub_id(name.partition(":")[0]):
        raise LoraTuiError(
            f"There is no data at {path}.", "Correct data.source: a file, a folder or a Hub id."
        )
    return _open_hub(name, split)


def _open_folder(name: str, folder: Path) -> Source:
    train, test = _files(folder)
    if not train:
        raise LoraTuiError(
            f"The folder {folder} holds no data file.",
            f"Data files end in {readers.ENDINGS}, each also in .gz.",
        )
    task = folder / "task.toml"
    return _source(name, train, test, task if task.is_file() else None)


def _files(folder: Path) -> tuple[list[Path], list[Path]]:
    """`train.*` with `test.*` held out where there is one, else every data file in the folder."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and readers.is_data(path))
    train = [path for path in files if path.name.partition(".")[0] == "train"]
    test = [path for path in files if path.name.partition(".")[0] == "test"]
    return (train, test) if train else (files, [])


def _source(
    name: str, train: Sequence[Path], test: Sequence[Path] = (), task: Path | None = None
) -> Source:
    rows = _stored(train)
    if not rows:
        raise _no_rows(train, rows)
    held_out = _stored(test) if test else None
    parts = [rows, *([held_out] if held_out is not None else [])]
    return Source(
        name=name,
        columns=rows.columns,
        rows=rows,
        held_out=held_out,
        task_folder=task.parent if task else None,
        broken=sum((part.broken for part in parts), Counter()),
        named=tuple(place for part in parts for place in part.named),
        fingerprint="-".join(part.fingerprint for part in parts),
    )


def _stored(files: Sequence[Path]) -> Rows:
    def found() -> Iterator[Row | Broken]:
        for path in files:
            yield from readers.read(path)

    return Rows(found(), private_folder(locations.home() / "cache"))


def _no_rows(files: Sequence[Path], rows: Rows) -> LoraTuiError:
    names = ", ".join(str(path) for path in files)
    if not rows.named:
        return LoraTuiError(f"{names} holds no rows: it is empty.", "Correct data.source.")
    return LoraTuiError(
        f"{names} holds no rows: of {rows.broken.total():,} lines none is one. {rows.named[0]}.",
        "Is it of the kind that its name says? JSON Lines hold one JSON object a line.",
    )


def _open_hub(name: str, split: str) -> Source:
    """A data set of the Hub: `owner/name`, or `owner/name:configuration`."""
    import datasets

    datasets.disable_progress_bars()
    path, _, configuration = name.partition(":")
    with failures.naming(name):
        rows = datasets.load_dataset(path, configuration or None, split=split)
    return Source(name, tuple(rows.column_names), rows, fingerprint=str(rows._fingerprint))
