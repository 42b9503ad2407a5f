"""Where rows come from: a JSON Lines file, a folder of them, a built-in set, or the Hub."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import DataSettings
from lora_tui.engine.formats import Row

_DEMOS = {"demo": "demo-json", "demo-pirate": "demo-pirate"}


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, held-out rows where they come separately, and what identifies them."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Row]
    held_out: Sequence[Row] | None = None
    task_folder: Path | None = None
    unreadable: int = 0
    fingerprint: str = ""


def open_source(settings: DataSettings) -> Source:
    """The rows a preset names.

    Raises:
        LoraTuiError: they are not there or cannot be read.
    """
    name = settings.source
    path = locations.assets_folder() / _DEMOS[name] if name in _DEMOS else Path(name).expanduser()
    if path.is_dir():
        return _open_folder(name, path)
    if path.is_file():
        return _open_file(name, path)
    if path.suffix or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise LoraTuiError(
            f"There is no data at {path}.", "Correct data.source: a file, a folder or a Hub id."
        )
    return _open_hub(name, settings.split)


def _open_folder(name: str, folder: Path) -> Source:
    train, test, task = folder / "train.jsonl", folder / "test.jsonl", folder / "task.toml"
    if not train.is_file():
        raise LoraTuiError(
            f"The folder {folder} has no train.jsonl.", "Name the file itself in data.source."
        )
    rows, unreadable, digest = _read(train)
    held_out = _read(test)[0] if test.is_file() else None
    return Source(
        name, _columns(rows), rows, held_out, folder if task.is_file() else None, unreadable, digest
    )


def _open_file(name: str, path: Path) -> Source:
    rows, unreadable, digest = _read(path)
    return Source(name, _columns(rows), rows, unreadable=unreadable, fingerprint=digest)


def _columns(rows: Sequence[Row]) -> tuple[str, ...]:
    """Every column of the first thousand rows: the first alone may lack an optional one."""
    return tuple(dict.fromkeys(name for row in rows[:1000] for name in row))


def _read(path: Path) -> tuple[list[Row], int, str]:
    """The rows of a .jsonl or .json file, how many lines were none, and the file's digest."""
    if path.suffix not in {".jsonl", ".json", ".ndjson"}:
        raise LoraTuiError(
            f"{path.name} is not a JSON Lines file.",
            "data.source takes .jsonl, .ndjson or .json: one object a line.",
        )
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise LoraTuiError(
            f"{path} cannot be read: {error}.", "Check data.source and its permissions."
        ) from error
    except UnicodeDecodeError as error:
        raise LoraTuiError(
            f"{path} is not UTF-8 text (byte {error.start}).",
            "Save it as UTF-8, one JSON object a line.",
        ) from error
    found = _parse(text)
    rows: list[Row] = [row for row in found if isinstance(row, dict)]
    if not rows:
        raise LoraTuiError(
            f"{path} holds no rows: not one line is a JSON object.",
            "Write one JSON object a line, or a list of them.",
        )
    return rows, len(found) - len(rows), hashlib.sha256(data).hexdigest()[:16]


def _parse(text: str) -> list[Any]:
    """A JSON list, or JSON Lines; a line that is no JSON comes out as None."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return []
        return found if isinstance(found, list) else []
    return [_parse_line(line) for line in text.split("\n") if line.strip()]


def _parse_line(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _open_hub(name: str, split: str) -> Source:
    import datasets

    datasets.disable_progress_bars()
    rows = datasets.load_dataset(name, split=split)
    return Source(name, tuple(rows.column_names), rows, fingerprint=str(rows._fingerprint))
