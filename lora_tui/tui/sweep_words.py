"""A sweep's table and its foot as lines: a run a line, the best of a column with a star."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_letters

from textual.content import Content

from lora_tui.core import states, sweep_table
from lora_tui.core.comparison_table import Line
from lora_tui.core.sweep_rows import GONE, Row
from lora_tui.core.text import duration, number, one_line
from lora_tui.tui.columns import Part, cut, left, right, width_of
from lora_tui.tui.compare_grid import best_mark
from lora_tui.tui.look import STATES, glyph
from lora_tui.tui.widgets.painting import Row as Painted

_MUTED = "$foreground-muted"
_NAME = (4, 24)
_STATUS = 9
_WORDS = frozenset({"run", "state", "steps"})
_GIVE_WAY = ("rank", "memory", "s/step", "saved", "trained")
"""The columns that give way first where all have no room; scores but the first go before them."""


def tags(number_of_them: int) -> list[str]:
    """A letter for each run, the same in the table and in both charts."""
    return [ascii_letters[at] if at < len(ascii_letters) else "*" for at in range(number_of_them)]


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands beside the names, and how wide each is."""

    lines: tuple[Line, ...]
    widths: tuple[int, ...]
    name: int

    def fitting(self, room: int) -> list[tuple[Line, int]]:
        """Those that have room, in their order."""
        known = list(zip(self.lines, self.widths, strict=True))
        names = [line.name for line, _ in known]
        scores = names[names.index("held-out") + 2 :] if "held-out" in names else []
        for name in (*reversed(scores), *_GIVE_WAY):
            if sum(width + 2 for _, width in known) <= room:
                break
            known = [(line, width) for line, width in known if line.name != name]
        return known


def columns(rows: Sequence[Row]) -> Columns:
    """The figures of the table, and their widths."""
    lines = [line for line in sweep_table.table(rows) if line.name not in _WORDS]
    widths = [max(width_of(line.name), *map(width_of, line.cells)) for line in lines]
    longest = max((width_of(one_line(row.label)) for row in rows), default=0)
    return Columns(tuple(lines), tuple(widths), min(max(longest, _NAME[0]), _NAME[1]))


@dataclass(frozen=True, slots=True)
class SweepRow:
    """One run in the table; equal ones look the same."""

    row: Row
    tag: str
    at: int
    columns: Columns

    @property
    def key(self) -> str:
        return self.row.run.id

    def content(self, width: int) -> Content:
        return Content.assemble(*self._parts(width))

    def _parts(self, width: int) -> Iterator[Part]:
        row, name = self.row, self.columns.name
        look = STATES.get(row.state)
        colour = look.colour if look else _MUTED
        mark = glyph(row.state) if look else " "
        yield f"{self.tag} ", "bold"
        yield f"{mark} ", colour
        yield left(row.label, name), "$text"
        yield f" {left(status(row), _STATUS)}", colour
        for line, wide in self.columns.fitting(width - name - _STATUS - 5):
            is_best = self.at in line.best
            style = "bold" if is_best else (_MUTED if line.cells[self.at] == "-" else "$text")
            yield f" {right(line.cells[self.at], wide)}{best_mark() if is_best else ' '}", style


def head(found: Columns, width: int) -> Painted:
    """What the columns are; as wide as a row of the list with its gutter."""
    names = "".join(
        f" {right(line.name, wide)} "
        for line, wide in found.fitting(width - found.name - _STATUS - 5)
    )
    return ((left("run", found.name + 4) + left("", _STATUS + 1) + names, "muted"),)


def rows_of(rows: Sequence[Row]) -> list[SweepRow]:
    """The table's lines."""
    found, letters = columns(rows), tags(len(rows))
    pairs = zip(rows, letters, strict=True)
    return [SweepRow(row, tag, at, found) for at, (row, tag) in enumerate(pairs)]


def status(row: Row) -> str:
    """Its state in a word; of one that works how far it is."""
    if row.held:
        return "held"
    if row.state in {"running", "paused"} and row.max_steps:
        return cut(f"{row.step}/{row.max_steps}", _STATUS)
    return row.state


def state_of(rows: Sequence[Row]) -> str:
    """How the sweep stands."""
    found = {row.state for row in rows}
    if found & set(states.LIVE):
        return "running"
    return "queued" if "queued" in found else "finished"


def seconds_left(rows: Sequence[Row]) -> float | None:
    """About how long it takes yet: what works by its own speed, what waits by those that ended."""
    at_work = [row.left for row in rows if row.state in states.LIVE]
    waiting = sum(row.state == "queued" and not row.held for row in rows)
    took = [row.elapsed for row in rows if row.state == "finished" and row.elapsed]
    if None in at_work or not (at_work or waiting) or (waiting and not took):
        return None
    mean = sum(took) / len(took) if took else 0.0
    return (sum(one or 0.0 for one in at_work) + waiting * mean) / max(1, len(at_work))


def foot(rows: Sequence[Row], width: int) -> Painted:
    """How far it is and how long it takes yet; once it is over, what it comes to."""
    state, ended = state_of(rows), sum(row.state in states.ENDED for row in rows)
    failed = sum(bool(row.failure) for row in rows)
    gone = sum(row.state == GONE for row in rows)
    start = f"{glyph(state)} {ended} of {len(rows) - gone} ended"
    bad = f", {failed} failed" if failed else ""
    if state == "finished":
        said = cut("  ".join(sweep_table.summary_of(rows)), width - width_of(start + bad) - 2)
        return ((start, "good"), (bad, "bad"), (f"  {said}", "text"))
    rest = seconds_left(rows)
    about = f"  about {duration(rest)} left" if rest else ""
    end = "leaving lets it go on"
    gap = max(2, width - width_of(start + bad + about) - width_of(end))
    return (start, "accent"), (bad, "bad"), (about + " " * gap, "muted"), (end, "muted")


def best_of(rows: Sequence[Row]) -> str:
    """The lowest held-out loss so far, for a title."""
    known = [row.held_out for row in rows if row.held_out is not None]
    return f"best {number(min(known))}" if known else ""
