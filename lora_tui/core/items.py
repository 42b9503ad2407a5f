"""What was looked at, one thing at a time: green, yellow or red, with a reason and a remedy."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

STATUSES = ("green", "yellow", "red")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing looked at: how it is, why, and what to do; `changes` of the preset that do it."""

    name: str
    status: str
    detail: str
    remedy: str = ""
    changes: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the command line prints it."""
        found = {name: getattr(self, name) for name in ("name", "status", "detail", "remedy")}
        return {**found, "changes": dict(self.changes)} if self.changes else found


def is_ok(items: Iterable[Item]) -> bool:
    """Whether nothing is red."""
    return all(item.status != "red" for item in items)


def document(items: Iterable[Item]) -> dict[str, Any]:
    """`ok` and the items, as the command line prints them."""
    items = list(items)
    return {"ok": is_ok(items), "items": [item.document() for item in items]}
