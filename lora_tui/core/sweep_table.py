"""A sweep as a table, a line a run, and what it comes to."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lora_tui.core import states, text
from lora_tui.core.comparison_table import LEAST_GAIN, Line, best
from lora_tui.core.sweep_rows import Row

Value = Callable[[Row], float | None]


def table(rows: Sequence[Row]) -> list[Line]:
    """The columns: a cell a run; those of which nothing is known are left out."""
    lines = [
        Line("run", tuple(row.label for row in rows)),
        Line("state", tuple("held" if row.held else row.state for row in rows)),
        Line("steps", tuple(_steps(row) for row in rows)),
        Line("rank", tuple(_rank(row) for row in rows)),
        *(_line(rows, *column) for column in _columns(rows)),
    ]
    return [line for line in lines if not line.is_empty]


def _columns(rows: Sequence[Row]) -> Iterator[tuple[str, Value, Callable[..., str], int]]:
    """Label, value, how it is written, and which of those that ended is best: 1 the largest."""
    yield "trained", lambda row: row.trainable, text.count, -1
    yield "saved", lambda row: row.saved, text.size, -1
    yield "s/step", lambda row: row.seconds_per_step, text.number, -1
    yield "memory", lambda row: row.memory, text.size, -1
    yield "held-out", lambda row: row.held_out, text.number, -1
    for name in dict.fromkeys(name for row in rows for name in row.scores):
        yield name.replace("_", " "), _score(name), text.share, 1


def _score(name: str) -> Value:
    return lambda row: row.scores.get(name)


def _line(
    rows: Sequence[Row], name: str, value: Value, write: Callable[..., str], sign: int
) -> Line:
    values = [value(row) for row in rows]
    cells = tuple(write(one) if one is not None else "-" for one in values)
    ended = [
        one if row.state in states.ENDED else None for one, row in zip(values, rows, strict=True)
    ]
    return Line(name, cells, best(ended, cells, sign))


def _steps(row: Row) -> str:
    if row.max_steps is None:
        return "-"
    return f"{row.step}/{row.max_steps}"


def _rank(row: Row) -> str:
    return str(row.rank) if row.rank is not None else row.method or "-"


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table for a plain terminal; a star stands behind the best of a column."""
    columns = table(rows)
    cells = [
        [column.name, *(_starred(column, at) for at in range(len(rows)))] for column in columns
    ]
    widths = [max(map(len, column)) for column in cells]
    for line in zip(*cells, strict=True):
        first, second, *rest = line
        shown = [first.ljust(widths[0]), second.ljust(widths[1])]
        shown += [cell.rjust(width) for cell, width in zip(rest, widths[2:], strict=True)]
        yield "  ".join(shown).rstrip()


def _starred(column: Line, at: int) -> str:
    cell = text.one_line(column.cells[at])
    return cell + ("*" if at in column.best else " " if column.best else "")


# --- what it comes to ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TradeOff:
    """Quality over size: (trained parameters, held-out loss, place of the row) of each run."""

    points: tuple[tuple[float, float, int], ...]
    baseline: float | None = None
    baseline_size: float | None = None


def trade_off(rows: Sequence[Row]) -> TradeOff:
    """That of the runs that finished, by parameters rising: others are not trained as far."""
    done = [(at, row) for at, row in enumerate(rows) if row.state == "finished"]
    known = sorted(
        (row.trainable, _loss(row), at)
        for at, row in done
        if row.trainable and math.isfinite(_loss(row)) and not row.is_baseline
    )
    full = next((row for _, row in done if row.is_baseline), None)
    return TradeOff(tuple(known), full.held_out, full.trainable) if full else TradeOff(tuple(known))


def summary_of(rows: Sequence[Row]) -> list[str]:
    """What it comes to in sentences, once runs have ended."""
    done = [row for row in rows if row.state == "finished" and row.held_out is not None]
    tried = [row for row in done if not row.is_baseline]
    if len(tried) < 2:
        return []
    first = min(tried, key=_loss)
    of = "Of the adapters, " if len(done) > len(tried) else ""
    found = [f"{of}{first.label} has the lowest held-out loss: {text.number(_loss(first))}."]
    enough = [one for one in tried if one.trainable and _loss(one) < _loss(first) + LEAST_GAIN]
    small = min(enough, key=lambda one: one.trainable or 0.0, default=first)
    if small is not first and first.trainable and (small.trainable or 0.0) < first.trainable:
        share = text.share((small.trainable or 0.0) / first.trainable)
        found.append(
            f"{small.label} is within {LEAST_GAIN:g} of it with {share} of its trained parameters."
        )
    full = next((one for one in done if one.is_baseline), None)
    base = full.held_out_first if full else None
    if full and base is not None and base - _loss(full) >= LEAST_GAIN:
        for one in [small] if small is first else [small, first]:
            gain = (base - _loss(one)) / (base - _loss(full))
            cost = one.trainable / full.trainable if one.trainable and full.trainable else None
            at = f" at {text.share(cost)} of the parameters" if cost else ""
            found.append(f"{one.label}: {text.share(gain)} of full fine-tuning's gain{at}.")
    return found


def _loss(row: Row) -> float:
    return row.held_out if row.held_out is not None else float("inf")
