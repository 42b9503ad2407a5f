"""Rows that were tokenised before, kept for the next run, check or resume on the same data.

They are found again by all that decides them, down to the code that made them, so nothing here is
ever out of date; what cannot be read, or is not what was written, is made again.
"""

import hashlib
import json
import os
import sys
import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_tui.core import locations
from lora_tui.core.files import private_folder
from lora_tui.core.presets import Preset
from lora_tui.engine import formats, masking, reading, templates
from lora_tui.engine.formats import BadRow
from lora_tui.engine.masking import Example
from lora_tui.engine.sources import Source
from lora_tui.engine.templates import ChatTemplate

if TYPE_CHECKING:
    from lora_tui.engine.data import Part

LEAST_ROWS = 200
"""Fewer are tokenised as fast as they are found."""

MOST_BYTES = 1 << 30
"""Of all that is kept; the oldest goes first."""

_DIGEST = 32
_ASKED = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]


def folder() -> Path:
    """Where they are kept; deleting it costs nothing but time."""
    return locations.home() / "cache" / "tokens"


def place_of(
    preset: Preset, source: Source, template: ChatTemplate, parts: Sequence["Part"]
) -> Path | None:
    """The file that holds what becomes of the rows of `parts`, if any does.

    None where a model's own code may have a say in it.
    """
    if preset.model.trust_remote_code:
        return None
    tokenizer = template.tokenizer
    tokenizer.backend_tokenizer.no_truncation()  # as masking.tokenise leaves it
    tokenizer.backend_tokenizer.no_padding()
    facts = [
        [version(name) for name in ("transformers", "tokenizers", "jinja2")],
        sys.byteorder,
        tokenizer.chat_template,
        tokenizer.special_tokens_map,
        _said(template),
        time.strftime("%F") if "strftime_now" in str(tokenizer.chat_template) else "",
        source.fingerprint,
        source.columns,
        [origin.rows for origin in source.origins],
        asdict(preset.data),
        preset.model.max_seq_length,
        [part.needed for part in parts],
    ]
    digest = hashlib.sha256(json.dumps(facts, default=str).encode())
    for module in (formats, masking, reading, templates, sys.modules[__name__]):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).with_name("data.py").read_bytes())  # which imports this one
    digest.update(tokenizer.backend_tokenizer.to_str().encode("utf-8", "surrogatepass"))
    for part in parts:
        digest.update(b"%d:" % len(part.source))
        digest.update(array("q", getattr(part.source, "indices", ())))
    return folder() / digest.hexdigest()


def _said(template: ChatTemplate) -> str:
    """How a conversation reads now: some templates tell the time."""
    try:
        return template.render(_ASKED)
    except BadRow as reason:
        return str(reason)


def recall(place: Path, parts: Sequence["Part"], template: ChatTemplate) -> bool:
    """Fill empty parts with what is kept at `place`, if it is there and whole."""
    try:
        data = memoryview(place.read_bytes())
        os.utime(place)
    except OSError:
        return False
    if bytes(data[:_DIGEST]) != _digest(data[_DIGEST:]):
        return False
    start = 2 * _DIGEST + int.from_bytes(data[_DIGEST : 2 * _DIGEST], "big")
    told = json.loads(bytes(data[2 * _DIGEST : start]))
    template.warnings[:] = told["warnings"]
    for part, one in zip(parts, told["parts"], strict=True):
        columns = []
        for kind, count in one["columns"]:
            column = array(kind)
            end = start + count * column.itemsize
            column.frombytes(data[start:end])
            columns.append(column)
            start = end
        part.read, part.dropped = one["read"], Counter(one["dropped"])
        part.numbers = columns[0]
        part.examples = list(_examples(columns))
    return True


def _examples(columns: Sequence[Any]) -> Iterator[Example]:
    """The examples that `_columns` took apart."""
    _, ids, sizes, lengths, lost, counts, edges = columns
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    at = edge = 0
    for size, length, missing, count in zip(sizes, lengths, lost, counts, strict=True):
        own = tuple(pairs[edge : edge + count])
        yield Example(ids[at : at + size], own, length, missing)
        at, edge = at + size, edge + count


def _columns(part: "Part") -> list[Any]:
    """A part as arrays, in the order in which `_examples` takes them."""
    ids, edges = array("i"), array("i")
    for example in part.examples:
        ids.extend(example.input_ids)
        for span in example.spans:
            edges.extend(span)
    return [
        part.numbers,
        ids,
        array("i", [len(example.input_ids) for example in part.examples]),
        array("i", [example.length for example in part.examples]),
        array("i", [example.lost for example in part.examples]),
        array("i", [len(example.spans) for example in part.examples]),
        edges,
    ]


def keep(place: Path, parts: Sequence["Part"], template: ChatTemplate) -> None:
    """Write what became of the rows, whole or not at all, and make room for it."""
    found = [(part, _columns(part)) for part in parts]
    told = {
        "warnings": template.warnings,
        "parts": [
            {
                "read": part.read,
                "dropped": dict(part.dropped),
                "columns": [(column.typecode, len(column)) for column in columns],
            }
            for part, columns in found
        ],
    }
    header = json.dumps(told).encode()
    pieces = [
        len(header).to_bytes(_DIGEST, "big"),
        header,
        *(c for _, columns in found for c in columns),
    ]
    if sum(memoryview(piece).nbytes for piece in pieces) > MOST_BYTES // 2:
        return
    with suppress(OSError):  # a full disk: the run goes on without
        _write(place, pieces)
        _make_room()


def _digest(*pieces: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for piece in pieces:
        digest.update(piece)
    return digest.digest()


def _write(place: Path, pieces: Sequence[Any]) -> None:
    handle, aside = tempfile.mkstemp(prefix=".", dir=private_folder(place.parent))
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in (_digest(*pieces), *pieces):
                file.write(piece)
        Path(aside).replace(place)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise


def _make_room() -> None:
    """Remove what was used longest ago, beyond `MOST_BYTES`; what a crash left too."""
    files = [(path, path.stat()) for path in folder().iterdir()]
    total = 0
    for path, status in sorted(files, key=lambda item: item[1].st_mtime, reverse=True):
        total += status.st_size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)
