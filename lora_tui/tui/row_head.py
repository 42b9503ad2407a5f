"""What is said above a row of data: which it is, its tokens, and what is odd about it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from lora_tui.core.pages import Page
from lora_tui.core.text import one_line
from lora_tui.tui import look
from lora_tui.tui.columns import cut, dot, width_of
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.painting import Row


@dataclass(frozen=True, slots=True)
class Oddities:
    """Which rows a report names, by number, and what it says of each; `any` is false if none."""

    named: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    any: bool = True

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """All that a report names."""
        named: dict[int, tuple[str, ...]] = {}
        for words, found in _lists(report):
            for number in found["numbers"]:
                named[number] = (*named.get(number, ()), words)
        return cls(named, bool(named or report["dropped"] or report["truncated"]))

    def is_odd(self, page: Page) -> bool:
        """Whether there is something to look at in a row."""
        return bool(page.left) or page.cut is not None or page.number in self.named


def _lists(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "a copy of a row before it", report["duplicates"]
    yield "a training row asks the same", report["overlap"]
    yield "no end of turn is trained", report["unended"]
    yield "a character was lost", report["damaged"]
    for token, found in report["special_tokens"].items():
        yield f"holds {one_line(str(token))}", found


def head(page: Page, total: int, longest: int, oddities: Oddities, width: int) -> tuple[Row, Row]:
    """Two lines: which row it is with its figures, and what is odd about it."""
    plain = f"row {page.number + 1:,}"
    of = f" of {total:,}" if total else ""
    where = of if page.place == plain else f"{dot()}{page.number + 1:,}{of}"
    facts = [f"{page.tokens:,} tokens"] * bool(page.tokens)
    if not page.left:
        facts += [f"{page.trained:,} trained", page.use]
    words = "".join(dot() + fact for fact in facts)
    place = cut(page.place, max(8, width - width_of(where + words)))
    line: Row = ((place, "strong"), (where, "muted"), (words, "text"))
    return line, _notes(page, longest, oddities, width)


def _notes(page: Page, longest: int, oddities: Oddities, width: int) -> Row:
    if page.left:
        mark = "x" if ascii_only() else "✗"
        return (f"{mark} left out", "bad"), (
            ": " + cut(page.left, max(8, width - 13)),
            "text",
        )
    found = list(oddities.named.get(page.number, ()))
    if page.cut is not None:
        found.insert(0, f"its last {page.tokens - longest:,} tokens are cut off")
    mark = look.warning()
    return ((cut(f"{mark} {dot().join(found)}", width), "warn"),) if found else ()
