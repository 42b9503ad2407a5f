"""How long rows are, as bars in finished lines of text, with the place where they are cut.

Pure, and run in a worker thread, as `chart` is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_tui.core.text import number
from lora_tui.tui.chart import AXES_IN_ASCII, Canvas, Row, Rows, lines_of, new_figure
from lora_tui.tui.columns import cut as shortened
from lora_tui.tui.columns import width_of
from lora_tui.tui.scales import Axis, step_axis

_LEAST = (12, 5)  # cells below which there are no bars, the line of words among them


@dataclass(frozen=True, slots=True)
class Lengths:
    """A report's `histogram`: `counts[i]` rows from `i * width` tokens on, `above` beyond them."""

    width: int
    counts: tuple[int, ...]
    above: int
    cut: int

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Lengths":
        """The histogram of a data report, with the length at which its rows are cut."""
        found = report["histogram"]
        counts = tuple(map(int, found["counts"]))
        return cls(int(found["width"]), counts, int(found["above"]), int(report["max_seq_length"]))

    @property
    def reach(self) -> int:
        """The length at which the bars end."""
        return self.width * len(self.counts)


def draw(lengths: Lengths, width: int, height: int, *, ascii_only: bool) -> Rows:
    """A line of words, and below it the bars, in `height` lines of `width` cells."""
    if width < _LEAST[0] or height < _LEAST[1] or not any(lengths.counts):
        return ()
    frame = _frame(lengths, width, height - 1)
    fine = 1 if ascii_only else 2  # bars in one cell
    bars = _bars(lengths, frame.width * fine)
    points = [((at + 0.5) * lengths.reach / len(bars), bar) for at, bar in enumerate(bars) if bar]
    figure = new_figure(width, height - 1, frame)
    places, counts = [place for place, _ in points], [bar for _, bar in points]
    figure.draw(figure.signal(places, counts, marker="#" if ascii_only else "hd").fillx(True))
    lines = lines_of(figure)
    if ascii_only:
        lines = [line.translate(AXES_IN_ASCII) for line in lines]
    place = frame.left + lengths.cut * frame.width // lengths.reach
    mark = "|" if ascii_only else "│"
    rows = [
        _coloured(line, frame, place, mark if y < frame.height else "")
        for y, line in enumerate(lines)
    ]
    return (_words(lengths, width, mark, is_drawn=place < width), *rows)


def _frame(lengths: Lengths, width: int, height: int) -> Canvas:
    """The canvas: bars stand on its lower edge, the tallest reaches its upper one."""
    across = step_axis(lengths.reach, lengths.reach, width)
    left = len(f"{max(lengths.counts):,}") + 1
    columns, lines = width - left, height - 2
    most = max(_bars(lengths, columns * 2))
    half = most / (2 * lines)  # plotext's limits are the middles of cells
    labels = (f"{most:,}", "0")
    up = Axis(half, most - half, (most - half, half), labels) if lines > 1 else _lone(most)
    return Canvas(across, up, left, columns, lines)


def _lone(most: int) -> Axis:
    return Axis(0, most, (most,), (f"{most:,}",))


def _bars(lengths: Lengths, wanted: int) -> list[int]:
    """The counts in `wanted` bars: where several share one, the largest, so that peaks stay."""
    counts = lengths.counts
    bars = []
    for at in range(wanted):
        first = at * len(counts) // wanted
        last = max(first + 1, (at + 1) * len(counts) // wanted)
        bars.append(max(counts[first:last]))
    return bars


def _coloured(line: str, frame: Canvas, place: int, mark: str) -> Row:
    """Bars up to the cut in one colour, those behind it in another, the cut between them."""
    if not mark:
        return ((line, "muted"),)
    parts: Sequence[tuple[str, str]] = (
        (line[: frame.left], "muted"),
        (line[frame.left : place], "accent"),
        (mark if place < frame.left + frame.width else "", "strong"),
        (line[place + 1 :], "bad"),
    )
    return tuple(part for part in parts if part[0])


def _words(lengths: Lengths, width: int, mark: str, *, is_drawn: bool) -> Row:
    """What is drawn at the left; what the line means, and what is beyond the bars, at the right."""
    start = "rows by tokens"
    cut = f"{mark} " if is_drawn else ""
    notes = [f"max_seq_length {number(lengths.cut)}"]
    if lengths.above:
        notes.append(f"{lengths.above:,} longer than {lengths.reach:,}")
    words = ", ".join(notes)
    gap = width - width_of(start) - width_of(cut) - width_of(words)
    if gap < 2:
        return ((shortened(start, width), "muted"),)
    return (start, "muted"), (" " * gap + cut, "strong"), (words, "muted")
