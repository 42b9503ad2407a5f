"""Folding a job's events into one frozen value: what its screen, its files and its JSON show."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from lora_tui.core.events import Event

Moment = TypeVar("Moment")


@dataclass(slots=True)
class Folding(Generic[Moment]):
    """Takes in events in their order, each by the method `_on_<kind>`; what has none is passed."""

    now: Moment

    def fold(self, batch: Iterable[Event]) -> Moment:
        """What the events so far add up to; a damaged one changes nothing."""
        for event in batch:
            if handler := getattr(self, f"_on_{event['kind']}", None):
                with suppress(LookupError, TypeError, ValueError, AttributeError):
                    handler(event)
        return self.now
