"""A check's events folded into its items: what `check --json` prints and its screen shows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core import items
from lora_tui.core.events import Event
from lora_tui.core.items import STATUSES, Item
from lora_tui.core.summary import Headline

_FIGURES = (
    "seconds_per_step",
    "longest_seconds_per_step",
    "seconds",
    "max_steps",
    "trial_peak_memory_bytes",
    "loss",
    "eval_loss",
    "trial_seconds",
    "batch",
)


@dataclass(slots=True)
class Told:
    """What a check has told so far; `looking` is what it looks at now."""

    items: list[Item] = field(default_factory=list)
    looking: str = ""
    figures: dict[str, Any] = field(default_factory=dict)

    def fold(self, batch: Iterable[Event]) -> list[Item]:
        """Take in events; the items that are new."""
        before = len(self.items)
        for event in batch:
            if event["kind"] == "looking":
                self.looking = str(event.get("name", ""))
            elif event["kind"] == "item" and event.get("status") in STATUSES:
                self.items.append(_item(event))
                self.looking = ""
            elif event["kind"] == "finished":
                self.figures = {name: event[name] for name in _FIGURES if name in event}
        return self.items[before:]

    def end(self, line: Headline) -> list[Item]:
        """Take in how the job ended: a check that broke off is red where it did."""
        if line.state == "finished":
            return []
        failure: Mapping[str, Any] = line.failure or {}
        cause = str(failure.get("summary") or "The check was ended.")
        if line.state == "crashed":
            cause = "The engine was killed; most likely the machine's memory was not enough."
        hint = f"Check again. What the engine printed is in {line.run.log}."
        if line.state == "failed":
            hint = str(failure.get("hint") or hint)
        self.items.append(Item(self.looking or "check", "red", cause, hint))
        self.looking = ""
        return self.items[-1:]

    def document(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {**items.document(self.items), **self.figures}


def _item(event: Event) -> Item:
    name, status, detail, remedy = (
        str(event.get(part, "")) for part in ("name", "status", "detail", "remedy")
    )
    changes = event.get("changes")
    return Item(name, status, detail, remedy, changes if isinstance(changes, Mapping) else {})
