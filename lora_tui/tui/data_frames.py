"""What goes between the data screen and its thread: wishes one way, frozen frames the other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from lora_tui.core import data_advice
from lora_tui.tui.histogram import Lengths
from lora_tui.tui.widgets.painting import Row, Rows


@dataclass(frozen=True, slots=True)
class Room:
    """The cells there are: the width of a row's text, and the size of the histogram."""

    text: int = 0
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What the reader asks for: `by` rows on, `to` a number or an end, the next `odd` one."""

    kind: str
    by: int = 0
    room: Room = Room()


@dataclass(frozen=True, slots=True)
class Findings:
    """A finished report, in words and figures."""

    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    remedies: tuple[tuple[str, Mapping[str, Any]], ...]
    columns: Mapping[str, str]
    lengths: Lengths
    kept: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> Self:
        """What a report says; any error when it is no report."""
        return cls(
            facts=tuple(data_advice.facts(report)),
            warnings=tuple(map(str, report["warnings"])),
            remedies=tuple((str(one["text"]), dict(one["changes"])) for one in report["remedies"]),
            columns=dict(report["columns"]),
            lengths=Lengths.of(report),
            kept=int(report["kept"]),
        )


@dataclass(frozen=True, slots=True)
class RowShown:
    """One row, laid out; `key` tells it from others."""

    key: tuple[int, bool]
    number: int
    is_raw: bool
    head: Row
    notes: Row
    text: Rows


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment; `doing` says what the job is at, if it is.

    `place` is the row that is wanted, and whether as it came; it may not be there yet.
    """

    doing: str = "starting the engine…"
    first: tuple[Mapping[str, Any], ...] = ()
    names: tuple[str, ...] = ()
    row: RowShown | None = None
    findings: Findings | None = None
    picture: Rows = ()
    failure: tuple[str, str] | None = None
    place: tuple[int, bool] = (0, False)
    said: tuple[int, str] = (0, "")
