"""The run's truth: `events.jsonl`, one JSON object a line, appended whole and read tolerantly."""

import fcntl
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lora_tui.core.files import sync

Event = dict[str, Any]

FINAL = frozenset({"stopped", "finished", "failed"})
"""The kinds after which a run does nothing more until it is resumed."""

_SYNCED = FINAL | {"checkpoint"}
"""After these no power cut takes back what was said up to then."""

_CHUNK = 1 << 18
_LONGEST_LINE = 1 << 24


def append(path: Path, kind: str, /, **fields: Any) -> Event:
    """Append one event with the present time; fields that are None are left out.

    One `write` to a file opened with O_APPEND, under the file's lock: whole lines even with several
    writers. If a crash left half a line at the end, the new event starts on a line of its own.

    Raises:
        OSError: the disk is full or the folder is gone; no half line is left behind by a full disk.
    """
    event = {"t": time.time(), "kind": kind}
    event.update((key, value) for key, value in fields.items() if value is not None)
    line = json.dumps(finite(event), ensure_ascii=False, separators=(",", ":")) + "\n"
    data = line.encode("utf-8", "replace")
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        # Looking at the end and writing behind it are one act. The lock is the process's, not the
        # handle's: a signal's handler may append in the middle of an append and must not wait.
        fcntl.lockf(handle, fcntl.LOCK_EX)
        end = os.fstat(handle).st_size
        if end and os.pread(handle, 1, end - 1) != b"\n":
            data = b"\n" + data
        written = os.write(handle, data)
        if written != len(data):
            os.ftruncate(handle, end)
            raise OSError(28, "no space left on device", str(path))
        if kind in _SYNCED:
            os.fsync(handle)
        if not end:
            sync(path.parent)
    finally:
        os.close(handle)
    return event


def finite(value: Any) -> Any:
    """`value` with NaN and infinities as strings: JSON has neither."""
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def figure(value: Any) -> float | None:
    """A number out of an event, with "nan" and "inf" turned back; None if it is none."""
    if isinstance(value, str):
        return float(value) if value in _ODD else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


_ODD = frozenset({"nan", "inf", "-inf"})


def whole(value: Any) -> int | None:
    """A finite number out of an event as an integer: a step, a count, bytes; None if it is none."""
    number = figure(value)
    return int(number) if number is not None and math.isfinite(number) else None


def parse(lines: Sequence[bytes]) -> list[Event]:
    """The events in `lines`; a line that is no JSON object with a text `kind` is passed over."""
    try:  # one call for the whole batch is three times faster than one a line
        found = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        found = [_parse_line(line) for line in lines]
    return [event for event in found if isinstance(event, dict) and _is_text(event.get("kind"))]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def read_new(path: Path, offset: int = 0, most: int = _CHUNK) -> tuple[list[Event], int]:
    """Up to `most` bytes of whole lines after `offset`, and the offset behind them.

    A half-written last line stays for the next call; a file that shrank is read from its start; a
    missing file is an empty one. What has no line break for megabytes is no event and passed over.
    """
    try:
        with path.open("rb") as file:
            if file.seek(0, os.SEEK_END) < offset:
                offset = 0
            file.seek(offset)
            data = file.read(most)
            end = data.rfind(b"\n") + 1
            while not end and len(data) < _LONGEST_LINE and (more := file.read(max(most, _CHUNK))):
                end = len(data) + more.rfind(b"\n") + 1 if b"\n" in more else 0
                data += more
    except OSError:
        return [], offset
    if not end and len(data) >= _LONGEST_LINE:
        return [], offset + len(data)
    lines = [line for line in data[:end].split(b"\n") if line.strip()]
    return parse(lines), offset + end


def batches(path: Path) -> Iterator[list[Event]]:
    """Every event of the file, a batch at a time, in bounded memory."""
    offset = 0
    while True:
        events, after = read_new(path, offset)
        yield events
        if after <= offset:
            return
        offset = after


def read_ends(path: Path, most: int = 1 << 14) -> tuple[list[Event], list[Event]]:
    """Events at the head and at the tail of the file, without reading what lies between.

    The tail always holds the last line, however long it is; both are the same list for a file that
    was read whole.
    """
    head, after = read_new(path, 0, most)
    try:
        length = path.stat().st_size
    except OSError:
        return head, head
    if length <= after:
        return head, head
    lines: list[bytes] = []
    while not lines and most <= 2 * _LONGEST_LINE:
        lines = _whole_lines(path, max(after, length - most), length)
        most *= 2
    return head, parse(lines) or head


def sample(path: Path, wanted: int, each: int = 2048) -> list[Event]:
    """About `wanted` events spread evenly over the file: a first picture of a very long one."""
    try:
        length = path.stat().st_size
    except OSError:
        return []
    lines: list[bytes] = []
    for index in range(wanted):
        lines += _whole_lines(path, length * index // wanted, each)[:1]
    return parse(lines)


def _whole_lines(path: Path, start: int, most: int) -> list[bytes]:
    """The whole lines within `most` bytes from `start`."""
    before = max(0, start - 1)  # a line that begins at `start` is whole: see the break before it
    try:
        with path.open("rb") as file:
            file.seek(before)
            data = file.read(most)
    except OSError:
        return []
    lines = data.split(b"\n")[:-1]
    return [line for line in (lines[1:] if start else lines) if line.strip()]
