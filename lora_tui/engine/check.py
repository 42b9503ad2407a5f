"""The check: what would go wrong in a run, found before it, one thing after another."""

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from lora_tui.core import runs
from lora_tui.core.items import Item, is_ok
from lora_tui.engine import check_items, failures, job
from lora_tui.engine.data import Data
from lora_tui.engine.job import Job, TorchJob

T = TypeVar("T")
Look = Callable[[], tuple[Item, T]]


def main(folder: Path) -> int:
    """Check the preset in `folder`; each item is an event, told as soon as it is known."""
    return job.execute(folder, work)


class Looks:
    """Takes one look after another and tells what each showed."""

    def __init__(self, begun: Job) -> None:
        self._begun = begun
        self.items: list[Item] = []

    def at(self, name: str, look: Look[T]) -> T | None:
        """What `look` found to go on with; None when it failed, which makes the item red."""
        self._begun.stop.check()
        self._begun.emit("looking", name=name)
        found: T | None
        try:
            item, found = look()
        except Exception as error:  # whatever a library raises is what is looked for
            print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
            summary, hint = map(failures.without_tokens, failures.explain(error))
            item, found = Item(name, "red", summary, hint), None
        self.items.append(item)
        self._begun.emit("item", **item.document())
        return found


def work(begun: Job) -> None:
    """Look at everything in order; what stands on something red is not looked at."""
    preset, options = begun.preset, runs.read_info(begun.run).get("options") or {}
    quick = bool(options.get("quick"))
    looks = Looks(begun)
    current = looks.at("preset", lambda: check_items.preset(begun, quick=quick))
    base = looks.at("model", lambda: check_items.model(preset))
    is_there = looks.items[-1].status != "red"
    tokenizer = looks.at("tokenizer", lambda: check_items.tokenizer(preset)) if is_there else None
    rows = looks.at("data", lambda: check_items.data(preset, tokenizer)) if tokenizer else None
    if rows:
        looks.at("mask", lambda: check_items.mask(preset, rows))
    if base:
        looks.at("disk", lambda: check_items.disk(preset, base, current))
    if base and rows and current:
        looks.at("memory", lambda: check_items.memory(current, base, rows))
    if is_there:
        asked = bool(options.get("export"))
        looks.at("export", lambda: check_items.export(preset, tokenizer, is_asked=asked))
    figures: Mapping[str, Any] = {}
    if current and base and rows and not quick and is_ok(looks.items):
        figures = _steps(looks, current, tokenizer, rows, find=bool(options.get("find_batch")))
    begun.end("finished", ok=is_ok(looks.items), **figures)


def _steps(
    looks: Looks, current: TorchJob, tokenizer: Any, rows: Data, *, find: bool
) -> Mapping[str, Any]:
    """Real steps: whether they work, how long a run takes, and how large a batch fits."""
    from lora_tui.engine import check_steps  # brings torch, transformers and TRL

    began = time.monotonic()
    trials = looks.at("steps", lambda: check_steps.steps(current, tokenizer, rows))
    if trials is None:
        return {}
    took = round(time.monotonic() - began, 2)
    figures = looks.at("time", lambda: check_steps.duration(current, rows, trials)) or {}
    batch = looks.at("batch", lambda: check_steps.largest(current, trials)) if find else None
    return {**figures, "trial_seconds": took, **({"batch": batch} if batch else {})}
