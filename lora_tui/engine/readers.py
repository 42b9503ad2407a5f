"""Rows out of files: JSON Lines, JSON, CSV, Parquet and text, plain or gzipped, one at a time.

A line that is no row is named and passed over; a file that cannot be read on is an error. Nothing
here holds more than one row, whatever the file's size.
"""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from lora_tui.core.errors import LoraTuiError

Row = dict[str, Any]

LONGEST_LINE = 1 << 26
"""Bytes of one line; what is longer is not read into memory. No model reads a row of 64 MB."""

_BUFFER = 1 << 20
_DEEPEST = 100  # containers in one another
_GZIP, _PARQUET, _BOM = b"\x1f\x8b", b"PAR1", b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Broken:
    """A place in a file that holds no row: its line (or row) and column, from 1, and why."""

    file: str
    line: int
    reason: str
    column: int = 0

    def __str__(self) -> str:
        """As compilers write it."""
        place = f"{self.line}:{self.column}" if self.column else str(self.line)
        return f"{self.file}:{place}: {self.reason}"


Found = Iterator[Row | Broken]
File: TypeAlias = "io.BufferedReader[Any]"  # not subscriptable when run


def read(path: Path) -> Found:
    """The rows of one file, in order, with what is broken between them.

    Raises:
        LoraTuiError: it cannot be opened, or is cut off, or is of no known kind.
    """
    try:
        with io.BufferedReader(path.open("rb", buffering=0), _BUFFER) as file:
            start = file.peek(len(_PARQUET))
            if start.startswith(_PARQUET):
                yield from _parquet(path)
            elif start.startswith(_GZIP):
                inside: Any  # a GzipFile is no RawIOBase to the types, but reads like one
                with gzip.open(file) as inside, io.BufferedReader(inside, _BUFFER) as plain:
                    yield from _kind(path, plain)(path, plain)
            else:
                yield from _kind(path, file)(path, file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise LoraTuiError(
            f"{path} is a gzip file that is damaged or cut off: {error}.",
            "Copy or download it again.",
        ) from error
    except OSError as error:
        raise LoraTuiError(
            f"{path} cannot be read: {error.strerror or error}.",
            "Check data.source and its permissions.",
        ) from error


def is_data(path: Path) -> bool:
    """Whether a file's name says that it holds rows."""
    return _suffix(path) in _KINDS or _suffix(path) == ".parquet"


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return suffixes[-1] if suffixes else ""


def _kind(path: Path, file: File) -> Callable[[Path, File], Found]:
    """How to read a file, by its name; where that says nothing, by its first character."""
    if kind := _KINDS.get(_suffix(path)):
        return kind
    if _suffix(path) == ".parquet":
        raise LoraTuiError(
            f"{path} is not a Parquet file, whatever its name says.", "Copy or download it again."
        )
    if file.peek(1).removeprefix(_BOM).lstrip().startswith((b"{", b"[")):
        return _json
    raise LoraTuiError(
        f"{path.name} is of no kind that holds rows.",
        f"data.source takes {ENDINGS}, each also in .gz, or a folder of them.",
    )


def _lines(path: Path, file: File) -> Iterator[tuple[int, str | Broken]]:
    """Every line that is not blank with its number, without its break."""
    number = 0
    while line := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            while line and not line.endswith(b"\n"):
                line = file.readline(LONGEST_LINE)
            yield number, Broken(path.name, number, f"longer than {LONGEST_LINE >> 20} MB")
            continue
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            yield number, Broken(path.name, number, "not UTF-8 text")
            continue
        if stripped := text.strip("\r\n"):
            yield number, stripped


def _json_lines(path: Path, file: File) -> Found:
    for number, line in _lines(path, file):
        if isinstance(line, Broken):
            yield line
        elif line.strip():
            yield _object(path, number, line)


def _object(path: Path, number: int, line: str) -> Row | Broken:
    try:
        value = json.loads(line)
    except RecursionError:
        return Broken(path.name, number, "nested too deep")
    except ValueError as error:
        return Broken(path.name, number, "not JSON", getattr(error, "colno", 0))
    if not isinstance(value, dict):
        return Broken(path.name, number, "not a JSON object")
    return value


def _json(path: Path, file: File) -> Found:
    """A list of rows, or an object that holds one; JSON Lines under the same name, too."""
    if file.peek(3).startswith(_BOM):
        file.read(3)
    head = file.peek(_BUFFER).lstrip()
    whole = head.startswith(b"[") or (head.startswith(b"{") and _suffix(path) == ".json")
    if not whole or _is_line(head):
        yield from _json_lines(path, file)
        return
    import ijson

    count = 0
    try:
        for value in _listed(ijson.basic_parse(file, use_float=True)):
            count += 1
            yield (
                value if isinstance(value, dict) else Broken(path.name, count, "not a JSON object")
            )
    except (ijson.JSONError, UnicodeDecodeError, RecursionError) as error:
        said = error.args[0].decode("utf-8", "replace") if _is_bytes(error) else str(error)
        raise LoraTuiError(
            f"{path} breaks off after {count:,} rows: {said.strip().partition(chr(10))[0]}.",
            "Mend it, or write one JSON object a line (.jsonl): then only the broken line is lost.",
        ) from error


def _is_bytes(error: Exception) -> bool:
    return bool(error.args) and isinstance(error.args[0], bytes)


def _is_line(head: bytes) -> bool:
    """Whether the first line is JSON by itself: it is not all there is, or it is a row."""
    first, _, rest = head.partition(b"\n")
    try:
        value = json.loads(first)
    except (ValueError, RecursionError):
        return False
    if rest.strip():
        return True
    return isinstance(value, dict) and not any(_is_rows(item) for item in value.values())


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _listed(parsed: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """The items of the list at the top, or of the first list of objects in the object there.

    Raises:
        RecursionError: something in it is nested too deep to be a row.
    """
    from ijson import ObjectBuilder

    depth, level, before, builder = 0, -1, "", None
    for event, value in parsed:
        ends = event in {"end_map", "end_array"}
        depth -= ends
        if level < 0 and event == "start_map" and before == "start_array":
            level = depth
        if depth < level:
            return
        if level >= 0:
            builder = builder or ObjectBuilder()
            builder.event(event, value)
        depth += event in {"start_map", "start_array"}
        if depth > _DEEPEST:
            raise RecursionError("something in it is nested too deep")
        if builder and depth == level:
            yield builder.value
            builder = None
        if event == "start_array" and depth == 1:
            level = 1
        before = event


def _csv(path: Path, file: File) -> Found:
    """A table with a header; cells are text. Tabs, semicolons or bars may stand for commas."""
    header = file.peek(1 << 16).partition(b"\n")[0].decode("utf-8-sig", "replace")
    delimiter = max(",\t;|", key=header.count)
    csv.field_size_limit(LONGEST_LINE)
    lines = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="")
    table = csv.reader(lines, delimiter=delimiter, strict=True)
    names: list[str] | None = None
    while True:
        try:
            cells = next(table, None)
        except csv.Error as error:
            yield Broken(path.name, table.line_num, f"not CSV: {error}")
            continue
        if cells is None:
            lines.detach()  # the file is closed by whoever opened it
            return
        if names is None:
            names = [name.strip() for name in cells]
        elif cells:
            yield _record(path, table.line_num, names, cells)


def _record(path: Path, line: int, names: list[str], cells: list[str]) -> Row | Broken:
    if len(cells) != len(names):
        return Broken(path.name, line, f"{len(cells)} cells under {len(names)} columns")
    try:
        "".join(cells).encode()
    except UnicodeEncodeError:
        return Broken(path.name, line, "not UTF-8 text")
    return dict(zip(names, cells, strict=True))


def _text(path: Path, file: File) -> Found:
    """One row a line, as `datasets` reads text files."""
    for _, line in _lines(path, file):
        yield line if isinstance(line, Broken) else {"text": line}


def _parquet(path: Path) -> Found:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise LoraTuiError(
            f"{path} is a Parquet file that is damaged or cut off: {error}.",
            "Copy or download it again.",
        ) from error


_KINDS: dict[str, Callable[[Path, File], Found]] = {
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _text,
    ".md": _text,
}

ENDINGS = ", ".join([*_KINDS, ".parquet"])
"""What the names of data files end in."""
