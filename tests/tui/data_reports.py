"""Data reports written by hand: every kind of row and finding, without an engine."""

import fcntl
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from textual.pilot import Pilot

from lora_tui.core import runs
from lora_tui.core.pages import Page, PageWriter
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui.screens.data import DataScreen

from .conftest import shown

LONGEST = 64
PRESET = changed(
    Preset(name="demo"), {"data.source": "chats.jsonl", "model.max_seq_length": LONGEST}
)

_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def page(number: int, question: str, answer: str, **more: Any) -> Page:
    """A row of one question and its answer, as the demo's template writes it."""
    head = f"{_SYSTEM}<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    text = f"{head}{answer}<|im_end|>\n"
    spans = ((len(head), len(text) - 1),)
    raw = {"question": question, "answer": answer}
    given = {"use": "to train", "text": text, "spans": spans, "tokens": 44, "trained": 12, **more}
    return Page(number, f"row {number + 1:,}", raw, **given)


_LONG = (
    "First the beans are soaked overnight. Then they are boiled with two bay leaves, slowly, until "
    "they are soft and nothing is left of the water.\nSalt comes last."
)


def pages() -> list[Page]:
    """Six rows: three plain ones, one cut, one left out, one a copy."""
    cut = page(2, "How are beans cooked?", _LONG, tokens=71, trained=34)
    return [
        page(0, "What colour is tar?", "The colour of tar is black."),
        page(1, "Which animal group does the bat belong to?", "The bat is a mammal."),
        Page(**{**_fields(cut), "cut": cut.text.index("boiled") + len("boiled")}),
        Page(3, "row 4", {"question": "And?", "answer": ""}, left="empty answer"),
        page(4, "What colour is tar?", "The colour of tar is black.", use="held out"),
        page(5, "What is the currency of Brazil?", "The real."),
    ]


def _fields(of: Page) -> dict[str, Any]:
    return {name: getattr(of, name) for name in Page.__slots__}


def report(**other: Any) -> dict[str, Any]:
    """What the engine would have written of `pages`."""
    none = {"count": 0, "rows": [], "numbers": []}
    counts = [0] * 30 + [1, 4, 9, 16, 22, 25, 27, 24, 20, 17, 14, 11, 9, 8, 6, 5, 5, 4, 3, 3]
    counts += [2, 2, 1, 2, 1, 1, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0, 1]
    return {
        "source": "chats.jsonl",
        "sources": [{"name": "chats.jsonl", "rows": 6, "weight": 1.0}],
        "unused_rows": 0,
        "dropped_rows": {"empty answer": ["row 4"]},
        "broken": [],
        "format": "question_answer",
        "formats": {"question_answer": 5},
        "columns": {"prompt": "question", "completion": "answer"},
        "unused_columns": [],
        "rows": 6,
        "kept": 5,
        "train_rows": 4,
        "eval_rows": 1,
        "steps_see": 960,
        "dropped": {"empty answer": 1},
        "max_seq_length": LONGEST,
        "tokens": {"p50": 44, "p90": 61, "p99": 71, "max": 71, "total": 240},
        "answers": {"p50": 12, "p90": 30, "p99": 34, "max": 34},
        "histogram": {"width": 1, "counts": counts, "above": 2},
        "truncated": 1,
        "truncated_share": 0.2,
        "lost_share": 0.11,
        "trained_share": 0.35,
        "padding_share": 0.12,
        "padding_free": True,
        "duplicates": {"count": 1, "rows": ["row 5"], "numbers": [4]},
        "overlap": {"count": 1, "rows": ["row 5"], "numbers": [4]},
        "special_tokens": {"<|im_end|>": {"count": 1, "rows": ["row 2"], "numbers": [1]}},
        "damaged": none,
        "unended": none,
        "warnings": [
            "20.0 % of the rows are longer than 64 tokens and cut off: 11.0 % of the trained tokens"
            " are lost, and these answers have no end.",
            "1 of 6 rows left out: empty answer (row 4).",
        ],
        "remedies": [
            {"text": "raise max_seq_length to 71 (p99)", "changes": {"model.max_seq_length": 71}},
            {"text": "leave long rows out", "changes": {"data.too_long": "drop"}},
        ],
    } | other


def written(rows: Sequence[Page] | None = None, final: str = "finished", **other: Any) -> Run:
    """A report that has ended; `other` replaces what it says, or is what its last event says."""
    run = runs.create(PRESET, name="demo", kind="data")
    found = pages() if rows is None else rows
    tell(run, "launched", pid=4242)
    tell(run, "rows", rows=[dict(one.raw) for one in found[:20]])
    if final != "failed":
        with PageWriter(run.path) as writer:
            for one in found:
                writer.add(one)
        tell(run, "progress", done=0, total=len(found))
    if final == "finished":
        run.report.write_text(json.dumps(report(**other)))
        tell(run, "finished")
    elif final:
        tell(run, final, **other)
    return run


def tell(run: Run, kind: str, **fields: Any) -> None:
    """Append an event."""
    with run.events.open("a") as file:
        file.write(json.dumps({"t": time.time(), "kind": kind, **fields}) + "\n")


@contextmanager
def at_work(run: Run) -> Iterator[IO[str]]:
    """Inside, an engine seems to work on it, until the lock that it holds is closed."""
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("here 4242\n")
        lock.flush()
        yield lock


async def until(pilot: Pilot[Any], holds: Callable[[], object], seconds: float = 180) -> None:
    """Wait for the thread, the engine, or a message to have done its work."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause(0.02)


def data_screen(pilot: Pilot[Any]) -> DataScreen:
    """The data screen, which may be below a dialogue."""
    return next(one for one in pilot.app.screen_stack if isinstance(one, DataScreen))


async def ready(pilot: Pilot[Any]) -> DataScreen:
    """Wait until the report is on the screen, drawn for the room there is."""
    screen = data_screen(pilot)

    def is_drawn() -> bool:
        frame = screen.frame
        if frame.failure or not frame.findings:
            return bool(frame.failure)
        bars = screen.query_one("#lengths")
        fits = len(frame.picture) == bars.size.height if bars.display else True
        return fits and frame.row is not None and not screen._layout_required

    calm = 0
    while calm < 3:
        await until(pilot, is_drawn)
        await pilot.pause(0.05)
        calm = calm + 1 if is_drawn() else 0
    return screen
