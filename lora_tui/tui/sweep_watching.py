"""The sweep screen's thread: read what is new of all runs, draw both charts, hand over frames.

No widget is touched from here: frames leave through a callback.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lora_tui.core.runs import Run
from lora_tui.core.summary import Headline, headline
from lora_tui.core.sweep_rows import GONE, Following, Row
from lora_tui.core.sweep_table import trade_off
from lora_tui.core.sweeps import Sweep
from lora_tui.tui import sweep_chart, sweep_words
from lora_tui.tui.compare_chart import Drawing, overlay
from lora_tui.tui.look import ascii_only
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.painting import Rows

_APART = 0.5  # seconds between two looks

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: the run at the cursor, which loss, and the cells for both charts."""

    chosen: str = ""
    kind: str = "held-out"
    log: bool = False
    curves: Size = (0, 0)
    trade: Size = (0, 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment."""

    rows: tuple[Row, ...] = ()
    lines: Mapping[Run, Headline] = field(default_factory=dict)
    look: Look = field(default_factory=Look)
    curves: Rows = ()
    trade: Rows = ()


class SweepWatch:
    """One sweep, shown until the screen wants no more of it."""

    def __init__(
        self, sweep: Sweep, looking: Latest[Look], show: Callable[[Frame], object]
    ) -> None:
        """Nothing is read yet."""
        self._following = Following(sweep)
        self._looking, self._show = looking, show
        self._lines: dict[Run, Headline] = {}
        self._before: dict[Run, Row] = {}

    def run(self) -> None:
        """Hand over a frame whenever a run or what is looked at changed."""
        shown: tuple[object, ...] = ()
        while not self._looking.is_set():
            rows, look = self._following.look(), self._looking.value
            if (rows, look) != shown:
                if not shown:
                    self._show(Frame(rows, self._headlines(rows), look))  # plotext takes a while
                shown = rows, look
                self._show(Frame(rows, self._headlines(rows), look, *self._charts(rows, look)))
            self._looking.wait(_APART)

    def _headlines(self, rows: Sequence[Row]) -> dict[Run, Headline]:
        for row in rows:
            if row.state == GONE:
                self._lines.pop(row.run, None)
            elif self._before.get(row.run) != row:
                self._lines[row.run] = headline(row.run)
            self._before[row.run] = row
        return dict(self._lines)

    def _charts(self, rows: Sequence[Row], look: Look) -> tuple[Rows, Rows]:
        tags = sweep_words.tags(len(rows))
        chosen = next(
            (tag for tag, row in zip(tags, rows, strict=True) if row.run.id == look.chosen), ""
        )
        courses = self._following.courses()
        curves = [
            sweep_chart.curve(tag, row, course, look.kind)
            for tag, row, course in zip(tags, rows, courses, strict=True)
        ]
        smooth, plain = look.kind == "loss", ascii_only()
        over = Drawing(*look.curves, log=look.log, smooth=smooth, chosen=chosen, ascii_only=plain)
        beside = Drawing(*look.trade, chosen=chosen, ascii_only=plain)
        return (
            overlay(curves, over) if look.curves[0] else (),
            sweep_chart.trade_off(trade_off(rows), tags, beside) if look.trade[0] else (),
        )
