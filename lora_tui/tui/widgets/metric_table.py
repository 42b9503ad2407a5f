"""The figures of a run, aligned: what is compared stands below one another, with its unit."""

import math
from dataclasses import dataclass
from itertools import chain

from lora_tui.core import plain, text
from lora_tui.core.events import figure
from lora_tui.core.metrics import Snapshot
from lora_tui.core.states import ENDED
from lora_tui.tui.columns import left, right
from lora_tui.tui.look import ascii_only
from lora_tui.tui.watching import Frame
from lora_tui.tui.widgets.painting import Painting, Row, Rows

_LABEL, _VALUE, _NOTE = 8, 8, 10
_COLUMN = _LABEL + _VALUE + _NOTE + 3
"""The least width of one column of figures, with the gap to the next."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. Of those that do not fit, the ones with the highest `rank` go first."""

    label: str
    value: str
    note: str = ""
    rank: int = 1


class MetricTable(Painting):
    """Shows the figures of a frame in one column, or in several where the room is wide and low."""

    _frame: Frame | None = None

    def show(self, frame: Frame) -> None:
        """Show the figures of one moment."""
        self._frame = frame
        self.paint(table(frame, self.size.width, self.size.height))

    def on_resize(self) -> None:
        """Show what there is room for now."""
        if self._frame is not None:
            self.show(self._frame)


def table(frame: Frame, width: int, height: int) -> Rows:
    """The figures in `height` lines of `width` cells."""
    columns = max(1, min(2, width // _COLUMN))
    each = width // columns
    groups = [group for group in figures(frame, wide=each >= 34) if group]
    if columns == 1:
        return tuple(_column(_fitting(groups, height), each, frame.snapshot))[:height]
    flat = [[item for item in chain(*groups) if item.label]]
    chosen = list(chain(*_fitting(flat, columns * height)))
    half = (len(chosen) + 1) // 2
    # The last cell of a column keeps it apart from the next.
    pairs = [_column([part], each, frame.snapshot) for part in (chosen[:half], chosen[half:])]
    pairs[1] += [((" " * each, "text"),)] * (half - len(pairs[1]))
    return tuple((*a, *b) for a, b in zip(*pairs, strict=True))[:height]


def _fitting(groups: list[list[Figure]], height: int) -> list[list[Figure]]:
    """Groups reduced to `height` lines: first without blank lines between, then without details."""
    while groups and sum(map(len, groups)) > height:
        worst = max(chain(*groups), key=lambda item: item.rank)
        groups = [[item for item in group if item is not worst] for group in groups]
    groups = [group for group in groups if group]
    spare = height - sum(map(len, groups))
    if spare < len(groups) - 1:
        return [list(chain(*groups))]
    return groups


def _column(groups: list[list[Figure]], width: int, snapshot: Snapshot) -> list[Row]:
    longest = max((len(item.label) for item in chain(*groups)), default=0)
    label = max(_LABEL, min(longest, width - _VALUE - _NOTE - 2))
    rows: list[Row] = []
    for group in groups:
        if rows:
            rows.append(())
        rows += [
            _line(item, width, label) if item.label else _bar(snapshot, width) for item in group
        ]
    return rows


def _line(item: Figure, width: int, label: int) -> Row:
    note = width - label - _VALUE - 1
    gap = 2 if note > _NOTE + 2 else 1
    return (
        (left(item.label, label) + " ", "muted"),
        (right(item.value, _VALUE), "text"),
        (" " * gap + left(item.note, note - gap), "muted"),
    )


def _bar(snapshot: Snapshot, width: int) -> Row:
    """How much of the run is done."""
    done_mark, todo_mark = ("#", "-") if ascii_only() else ("━", "─")
    share = min(1.0, snapshot.step / (snapshot.max_steps or 1))
    width = max(1, min(width, _COLUMN - 1) - 7)
    done = round(width * share)
    percent = math.floor(100 * share)  # 100 % is said only when it is true
    return (
        (done_mark * done, "accent"),
        (todo_mark * (width - done), "faint"),
        (f" {percent:3d} %", "muted"),
    )


def figures(frame: Frame, *, wide: bool) -> list[list[Figure]]:
    """All figures there are, in groups; what is not known is left out."""
    moment, ended = frame.snapshot, frame.state in ENDED
    return [
        _progress(moment),
        [*_losses(frame, ended=ended, wide=wide), *_scores(moment)],
        _pace(moment, ended=ended),
        _time(moment, ended=ended),
        _kept(moment, ended=ended),
    ]


def _progress(moment: Snapshot) -> list[Figure]:
    if not moment.max_steps:
        return [Figure("step", _steps(moment.step), rank=0)] if moment.step else []
    done = [Figure("step", _steps(moment.step), f"of {_steps(moment.max_steps)}", rank=0)]
    done.append(Figure("", "", rank=6))
    if moment.epoch is not None:
        done.append(Figure("epoch", f"{moment.epoch:.2f}", rank=5))
    return done


def _steps(number: int) -> str:
    """Exact as long as it fits."""
    return f"{number:,}" if number < 1_000_000 else text.count(number)


def _losses(frame: Frame, *, ended: bool, wide: bool) -> list[Figure]:
    moment, found = frame.snapshot, []
    if moment.loss is not None:
        note = _trend(frame, wide=wide)
        if ended and moment.loss_first is not None:
            note = f"from {text.number(moment.loss_first)}"
        found.append(Figure("loss", text.number(moment.loss), note, 0))
    if moment.odd_losses:
        found.append(Figure("NaN", _steps(moment.odd_losses), "steps", 1))
    if moment.eval_loss is not None:
        first = moment.eval_first
        note = f"from {text.number(first)}" if first is not None and moment.step else ""
        found.append(Figure("held-out", text.number(moment.eval_loss), note, 1))
        if moment.eval_best_step is not None and moment.eval_best != moment.eval_first:
            at = f"at {_steps(moment.eval_best_step)}"
            found.append(Figure("best", text.number(moment.eval_best), at, 4))
    return found


def _trend(frame: Frame, *, wide: bool) -> str:
    if frame.trend is None:
        return ""
    change, steps = frame.trend
    arrow = ("v" if change < 0 else "^") if ascii_only() else ("↓" if change < 0 else "↑")
    span = f" in {_steps(steps)}" if wide else ""
    return f"{arrow} {text.share(abs(change))}{span}"


def _scores(moment: Snapshot) -> list[Figure]:
    return [
        Figure(_spoken(name), text.share(first), "at start", 2)
        if last is None
        else Figure(_spoken(name), text.share(last), f"from {text.share(first)}", 2)
        for name, (first, last) in moment.scores.items()
    ]


def _spoken(name: str) -> str:
    """A score's name, short enough to stand beside its figure: manner+fact."""
    return name.replace("_and_", "+").replace("_", " ")


def _pace(moment: Snapshot, *, ended: bool) -> list[Figure]:
    found = []
    if not ended and moment.learning_rate is not None:
        found.append(Figure("lr", text.number(moment.learning_rate), rank=4))
    if not ended and moment.grad_norm is not None:
        found.append(Figure("grad", text.number(moment.grad_norm), rank=5))
    final = moment.final or {}
    speed = figure(final.get("tokens_per_second")) or moment.tokens_per_second
    if speed is not None:
        found.append(Figure("tokens/s", text.number(round(speed)), rank=3))
    pace = figure(final.get("seconds_per_step")) or moment.seconds_per_step
    if pace is not None:
        found.append(Figure("a step", f"{text.number(pace)} s", rank=6))
    if moment.tokens is not None:
        found.append(Figure("tokens", text.count(moment.tokens), rank=8))
    return found


def _time(moment: Snapshot, *, ended: bool) -> list[Figure]:
    found = []
    peak = figure((moment.final or {}).get("peak_memory_bytes")) or moment.memory_bytes
    if peak is not None:
        total = figure(moment.fact("started", "device_memory_bytes"))
        found.append(
            Figure("memory", text.size(peak), f"of {text.size(total)}" if total else "", 3)
        )
    if moment.elapsed is not None:
        found.append(Figure("took" if ended else "elapsed", text.duration(moment.elapsed), rank=3))
    if not ended and moment.seconds_left is not None and moment.updated is not None:
        ends = plain.moment(moment.updated + moment.seconds_left, "%H:%M")
        note = "" if moment.telling == "paused" else f"ends {ends}"
        found.append(Figure("left", text.duration(moment.seconds_left), note, 2))
    return found


def _kept(moment: Snapshot, *, ended: bool) -> list[Figure]:
    final = moment.final or {}
    saved = moment.fact("checkpoint", "step")
    found = []
    sizes = [(kind, figure(final.get(f"{kind}_bytes"))) for kind in ("adapter", "model")]
    if ended:
        found += [Figure(kind, text.size(size), rank=2) for kind, size in sizes if size is not None]
    if isinstance(saved, int):
        found.append(Figure("saved", _steps(saved), rank=4))
    return found
