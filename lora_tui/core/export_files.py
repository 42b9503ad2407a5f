"""What an export leaves in its folder: whole files, each with its proof, and nothing half-made.

A file is written as `.<name>.<job>.part` and gets its name when it is whole and measured; what it
was made of and how it was proven stand in `<name>.proof.json` beside it.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_tui.core import runs
from lora_tui.core.exporting import ExportFile
from lora_tui.core.files import sync
from lora_tui.core.proofs import Proof
from lora_tui.core.runs import Run

_PART = re.compile(r"\..+?\.gguf\.(?P<job>[^/]+?)(\.proof|\.base)?\.part")
_ENDS = 1 << 16  # bytes at each end of a file that are read to know it again
_DAY = 86_400
_READ = frozenset({".json", ".jinja", ".model", ".txt"})
_WEIGHTS = frozenset({".safetensors", ".bin"})


def part_of(path: Path, job: str) -> Path:
    """Where a job writes what is to become `path`."""
    return path.with_name(f".{path.name}.{job}.part")


def proof_of(path: Path) -> Path:
    """The file beside `path` that says how it was proven."""
    return path.with_name(f"{path.name}.proof.json")


def finish(
    part: Path,
    path: Path,
    file: ExportFile,
    fingerprint: Mapping[str, Any],
    *,
    source: str = "",
    asked: Mapping[str, Any] | None = None,
) -> None:
    """Give a whole file its name, and write down its proof.

    A proof names the file it is of: whatever happens between the two renames, no file is taken for
    one that another one's proof is about.

    Args:
        part: What was written.
        path: Its final name.
        file: What is known of it.
        fingerprint: What it was made from.
        source: Whose file it is: what stands under its name may be replaced by the same alone.
        asked: What it was to be proven on, and its matrix computed from.

    Raises:
        OSError: the disk did not take it; what stood there stands there still.
    """
    document = {
        **file.document(),
        "seconds": file.seconds,
        "fingerprint": dict(fingerprint),
        "source": source,
        "asked": dict(asked or {}),
        "mark": _mark(part),
    }
    aside = part.with_name(f"{part.name.removesuffix('.part')}.proof.part")
    aside.write_text(json.dumps(document, indent=1), "utf-8")
    sync(aside)
    sync(part)  # last: while it was proven, most of it has gone to the disk
    before = proof_of(path).read_bytes() if proof_of(path).exists() else None
    aside.replace(proof_of(path))  # first: a file without one is nobody's to replace
    try:
        part.replace(path)
    except OSError:
        if before is None:
            proof_of(path).unlink()
        else:
            proof_of(path).write_bytes(before)
        raise
    sync(path.parent)


def made(path: Path, fingerprint: Mapping[str, Any] | None = None) -> ExportFile | None:
    """What an earlier export made and proved under this name, if it stands there as it was.

    Args:
        path: Its final name.
        fingerprint: Of what it has to be made from, if that matters.
    """
    document = _read(proof_of(path))
    try:
        if document["bytes"] != path.stat().st_size:
            return None
        if document.get("mark") and document["mark"] != _mark(path):
            return None
        if fingerprint is not None and document["fingerprint"] != fingerprint:
            return None
        return ExportFile(
            quant=str(document["quant"]),
            path=str(path),
            state="kept",
            bytes=int(document["bytes"]),
            types={str(kind): int(many) for kind, many in document["types"].items()},
            seconds=document.get("seconds"),
            proof=Proof.from_document(document["proof"]),
        )
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        return None


def fingerprint_of(path: Path) -> dict[str, Any]:
    """What a file that stands was made from; empty where that is not known."""
    stored = _read(proof_of(path)).get("fingerprint")
    return stored if isinstance(stored, dict) else {}


def asked_of(path: Path) -> dict[str, Any]:
    """What a file that stands was proven on; empty where that is not known."""
    stored = _read(proof_of(path)).get("asked")
    return stored if isinstance(stored, dict) else {}


def is_ours(path: Path) -> bool:
    """Whether what stands under a name may be replaced: an export made it, or nothing is there."""
    return not path.exists() or (path.is_file() and "fingerprint" in _read(proof_of(path)))


def source_of(path: Path) -> str:
    """Whose file stands under a name; empty where none does, or where that is not known."""
    return str(_read(proof_of(path)).get("source") or "") if path.exists() else ""


def _mark(path: Path) -> str:
    """What tells a file from another of its size: when it was written, and its two ends."""
    stat = path.stat()
    digest = hashlib.blake2b(f"{stat.st_size} {stat.st_mtime_ns}".encode(), digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(_ENDS))
        file.seek(max(0, stat.st_size - _ENDS))
        digest.update(file.read(_ENDS))
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def clear(folder: Path, job: str) -> None:
    """Remove what one job left half-written; another's name may begin with its own."""
    for part in folder.glob(".*.part"):
        found = _PART.fullmatch(part.name)
        if found is not None and found["job"] == job:
            part.unlink(missing_ok=True)


def clear_dead(folder: Path, jobs: Path) -> None:
    """Remove what jobs that are no more left half-written; what others write now stays.

    Args:
        folder: Where the files go.
        jobs: Where the jobs' own folders are. A job of another home is not there: what it writes is
            old before it is taken for dead.
    """
    for part in folder.glob(".*.part"):
        found = _PART.fullmatch(part.name)
        if found is None or runs.is_alive(Run(jobs / found["job"])):
            continue
        with suppress(OSError):
            is_known = (jobs / found["job"]).is_dir()
            if is_known or time.time() - part.stat().st_mtime > _DAY:
                part.unlink()


def fingerprint(adapter: Path | None, model: Path, tools: Mapping[str, str]) -> dict[str, Any]:
    """What a file is made from, such that another result has another one.

    Args:
        adapter: Its folder, where there is one: read whole, it is small.
        model: The folder of the model: its weights are known by size and time.
        tools: Who makes it, with versions.
    """
    return {**origin(adapter, model), "tools": dict(tools)}


def origin(adapter: Path | None, model: Path | None) -> dict[str, str]:
    """The part of a fingerprint that stays the same whoever makes the file.

    Raises:
        OSError: a folder cannot be read.
    """
    found = {"model": _digest(model, whole=False)} if model else {}
    return {**found, "adapter": _digest(adapter, whole=True)} if adapter else found


def changed(path: Path, present: Mapping[str, str]) -> str:
    """Which part of what a file was made from is another one now: `adapter`, `model`, or none.

    A part that is unknown, then or now, counts as the same.
    """
    known = fingerprint_of(path)
    both = (name for name in ("adapter", "model") if name in known and name in present)
    return next((name for name in both if known[name] != present[name]), "")


def _digest(folder: Path, *, whole: bool) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.suffix not in _READ and path.suffix not in _WEIGHTS:
            continue
        digest.update(path.name.encode())
        if whole or path.suffix in _READ:
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        else:
            stat = path.stat()
            digest.update(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()
