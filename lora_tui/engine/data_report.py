"""The data report: every row read as a run would read it, counted, and kept to page through."""

import gc
import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lora_tui.core import data_advice, pages
from lora_tui.core.files import write_atomically
from lora_tui.core.pages import Page, PageWriter
from lora_tui.core.parameters import longest_of
from lora_tui.core.presets import Preset
from lora_tui.engine import data, job, machine, models
from lora_tui.engine.formats import Row, Shapes
from lora_tui.engine.job import Job
from lora_tui.engine.reading import Left, Made, Reader
from lora_tui.engine.sources import Source, first_rows, open_source
from lora_tui.engine.tally import Found, Tally, Uses, histogram, spread
from lora_tui.engine.templates import ChatTemplate

_FIRST = 20
_EVERY = 0.3  # seconds between two signs of progress


def main(folder: Path) -> int:
    """Report on the data of the preset in `folder`: `report.json`, and pages of its rows."""
    return job.execute(folder, work)


def work(begun: Job) -> None:
    """Show the first rows at once, then read all."""
    began = time.monotonic()
    preset = begun.preset
    first = islice(first_rows(preset.data), _FIRST)
    begun.emit("rows", rows=[pages.shortened(row) for row in first])
    tokenizer = models.load_tokenizer(preset)
    gc.freeze()  # the libraries' objects stay: the collector need not look through them again
    source = open_source(preset.data)
    report = read_all(begun, source, tokenizer)
    report["seconds"] = round(time.monotonic() - began, 2)
    report["peak_memory_bytes"] = machine.peak_memory(None, "cpu")
    write_atomically(begun.run.report, json.dumps(report, ensure_ascii=False, indent=1))
    begun.end("finished")


def read_all(begun: Job, source: Source, tokenizer: Any) -> dict[str, Any]:
    """Read every row once; the report as the command line prints it."""
    preset = begun.preset
    template = ChatTemplate(tokenizer)
    shapes = Shapes(source.columns, preset.data)
    reader = Reader(preset, shapes, template)
    tally, uses = Tally(tokenizer), Uses.of(source, preset)
    total, due = len(source.rows) + len(source.held_out or ()), 0.0
    shown: set[int] = set()
    with PageWriter(begun.run.path) as writer:
        for done, item in enumerate(reader.read(_in_order(source))):
            begun.stop.check()
            if tally.add(item) or not writer.is_full:
                writer.add(page(source, item, uses.word(item.number)))
                shown.add(item.number)
            if done % _FIRST == 0 and time.monotonic() > due:
                writer.flush()
                due = time.monotonic() + _EVERY
                begun.emit("progress", done=item.number, total=total)
        report = document(preset, source, reader, tally, uses)
        again = {*report["duplicates"]["numbers"], *report["overlap"]["numbers"]} - shown
        for item in reader.read([(at, _row(source, at)) for at in sorted(again)]):
            writer.add(page(source, item, uses.word(item.number)))
    return report


def _in_order(source: Source) -> Iterator[tuple[int, Row]]:
    """Every row with its number, held-out files last."""
    yield from enumerate(source.rows)
    yield from enumerate(source.held_out or (), len(source.rows))


def _row(source: Source, number: int) -> Row:
    own = len(source.rows)
    return source.rows[number] if number < own else (source.held_out or ())[number - own]


def page(source: Source, item: Made | Left, use: str) -> Page:
    """A row as it came, and as the model is given it."""
    raw = pages.shortened(item.row)
    place = source.place(item.number)
    if isinstance(item, Left):
        return Page(item.number, place, raw, tokens=item.length, left=item.reason)
    example, encoding = item.example, item.encoding
    spans = tuple((_end(encoding, start), _end(encoding, end)) for start, end in example.spans)
    return Page(
        number=item.number,
        place=place,
        raw=raw,
        text=item.rendered.text[: pages.LONGEST_TEXT],
        spans=spans,
        cut=_end(encoding, len(example.input_ids)) if example.truncated else None,
        tokens=example.length,
        trained=example.trained,
        use=use,
    )


def _end(encoding: Any, tokens: int) -> int:
    """Where the first `tokens` tokens end in the text: 0 for none, and tokens not of the text."""
    places = (encoding.token_to_chars(at) for at in range(min(tokens, len(encoding)) - 1, -1, -1))
    return next((place[1] for place in places if place is not None), 0)


def document(
    preset: Preset, source: Source, reader: Reader, tally: Tally, uses: Uses
) -> dict[str, Any]:
    """All figures of the report, with what they mean in words."""
    shapes, tokens = reader.shapes, sum(tally.kept)
    trained, lost, kept = sum(tally.trained), sum(tally.lost), tally.rows
    train_rows, eval_rows = uses.counted(tally.numbers)
    used = {*shapes.used, *(["fact"] if source.task_folder else [])}
    broken = dict(source.broken)
    reasons = {reason: found.count for reason, found in tally.left.items()}

    def named(found: Found) -> dict[str, Any]:
        places = [source.place(at) for at in found.numbers]
        return {"count": found.count, "rows": places, "numbers": found.numbers}

    report: dict[str, Any] = {
        "source": source.name,
        "sources": [
            {"name": one.name, "rows": one.rows, "weight": one.weight} for one in source.origins
        ],
        "fingerprint": source.fingerprint,
        "format": shapes.main.format,
        "formats": dict(shapes.counts.most_common()),
        "columns": dict(shapes.main.columns),
        "unused_columns": [name for name in source.columns if name not in used],
        "rows": len(source.rows) + len(source.held_out or ()) + sum(broken.values()),
        "kept": kept,
        "train_rows": train_rows,
        "eval_rows": eval_rows,
        "unused_rows": uses.unused(tally.numbers),
        "steps_see": data.rows_needed(preset),
        "dropped": {**reasons, **broken},
        "dropped_rows": {
            reason: [source.place(at) for at in found.numbers]
            for reason, found in tally.left.items()
        },
        "broken": [str(place) for place in source.named],
        "max_seq_length": preset.model.max_seq_length,
        "model_limit": longest_of(preset.model.name_or_path, preset.model.revision),
        "tokens": spread(tally.lengths) | {"total": tokens},
        "answers": spread([a + b for a, b in zip(tally.trained, tally.lost, strict=True)]),
        "histogram": histogram(tally.lengths, preset.model.max_seq_length),
        "truncated": tally.truncated.count,
        "truncated_rows": [source.place(at) for at in tally.truncated.numbers],
        "truncated_share": tally.truncated.count / kept if kept else 0.0,
        "trained_tokens": trained,
        "lost_tokens": lost,
        "lost_share": lost / (trained + lost) if kept else 0.0,
        "trained_share": trained / tokens if kept else 0.0,
        "padding_share": tally.padding_share(
            preset.training.per_device_train_batch_size, preset.training.seed, uses
        ),
        "padding_free": preset.training.padding_free,
        "duplicates": named(tally.duplicates()),
        "overlap": named(tally.overlap(uses)),
        "special_tokens": {token: named(found) for token, found in tally.special_tokens.items()},
        "damaged": named(tally.damaged),
        "unended": named(tally.unended),
        "talks": dict(+tally.talks),
    }
    report["warnings"] = [*data_advice.warnings(report), *reader.template.warnings]
    report["remedies"] = [
        {"text": remedy.text, "changes": dict(remedy.changes)}
        for remedy in data_advice.remedies(report, preset)
    ]
    return report
