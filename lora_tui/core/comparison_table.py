"""A comparison as aligned lines: what differs first, then what it cost and what came of it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_tui.core import text
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.events import figure

EQUAL_KL = 1e-6
"""A mean KL below this is rounding, in nats: float32 logits of equal models differ by less."""

ZERO = "Its update is zero in every layer: it answers as the base does."
"""What an adapter's files tell of it; whoever reads them says so."""

LEAST_GAIN = 0.01
"""Full fine-tuning that gained less, in nats, is no measure for others: it is noise."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: a cell a column, `-` for what is not known, and which are best."""

    name: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether no column has anything to say."""
        return all(cell in {"-", ""} for cell in self.cells)


def differences(comparison: Comparison) -> list[Line]:
    """The preset keys whose values are not the same in all columns that have presets."""
    flat = [_flat(column.preset) for column in comparison.columns]
    keys = dict.fromkeys(key for one in flat for key in one)
    found = []
    for key in keys:
        values = [_written(one[key]) for one in flat if key in one]
        if len(set(values)) > 1:
            cells = tuple(_written(one[key]) if key in one else "-" for one in flat)
            found.append(Line(key, cells))
    return found


def _flat(preset: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that had an effect: full fine-tuning reads of [lora] nothing but `method`."""
    is_full = preset.get("lora", {}).get("method") == "full"
    return {
        f"{table}.{key}": sorted(map(str, value)) if _is_set(key, value) else value
        for table, values in preset.items()
        if isinstance(values, Mapping)
        for key, value in values.items()
        if not (is_full and table == "lora" and key != "method")
    }


def _is_set(key: str, value: Any) -> bool:
    return key == "target_modules" and isinstance(value, list)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def method_of(column: Column) -> str:
    """How it was made, in two words: `LoRA r16`, `full`, `base`."""
    if column.member.method != "lora":
        return column.member.method
    lora = column.preset.get("lora", {})
    kind = "DoRA" if lora.get("use_dora") else "LoRA"
    return f"{kind} r{lora['r']}" if "r" in lora else kind


def gain(comparison: Comparison, column: Column) -> float | None:
    """Its gain in held-out loss over the base, as a share of full fine-tuning's.

    None where there is no full fine-tuning run of that base, or where that gained nothing.
    """
    base, full = comparison.base_of(column), _full(comparison, column)
    if base is None or full is None or column.is_base:
        return None
    before, best, own = (figure(one.figure("held_out_loss")) for one in (base, full, column))
    if before is None or best is None or own is None or before - best < LEAST_GAIN:
        return None
    return (before - own) / (before - best)


def _full(comparison: Comparison, column: Column) -> Column | None:
    """The full fine-tuning run of the same base that measured best."""
    base = comparison.base_of(column)
    found = [
        one
        for one in comparison.columns
        if one.member.method == "full"
        and comparison.base_of(one) is base
        and figure(one.figure("held_out_loss")) is not None
    ]
    return min(found, key=lambda one: figure(one.figure("held_out_loss")) or 0.0, default=None)


Value = Callable[[Column], float | None]


def table(comparison: Comparison) -> list[Line]:
    """What each cost and what came of it; lines of which nothing is known are left out."""
    lines = [Line("method", tuple(method_of(column) for column in comparison.columns))]
    if sum(column.is_base for column in comparison.columns) > 1:
        lines.insert(0, Line("base", tuple(column.member.base for column in comparison.columns)))
    lines += (_line(comparison, *row) for row in _rows(comparison))
    return [line for line in lines if not line.is_empty]


def _rows(comparison: Comparison) -> Iterator[tuple[str, Value, Callable[..., str], int]]:
    """Label, value, how it is written, and which is best: 1 the largest, -1 the least, 0 none."""
    yield "trained parameters", _trainable, text.count, -1
    yield "share of all", lambda column: share(comparison, column), text.share, 0
    yield "seconds a step", _shown("seconds_per_step"), text.number, -1
    yield "tokens/s", _shown("tokens_per_second"), text.number, 1
    yield "peak memory", _shown("peak_memory_bytes"), text.size, -1
    yield "saved size", _saved, text.size, -1
    yield "held-out loss", _measured("held_out_loss"), text.number, -1
    yield "perplexity", _measured("perplexity"), text.number, -1
    names = (name for column in comparison.columns for name in column.figures.get("scores", {}))
    for name in dict.fromkeys(names):
        yield name.replace("_", " "), _score(name), text.share, 1
    yield "gain, of full's", lambda column: gain(comparison, column), text.share, 0
    yield "KL from base", _measured("kl_from_base"), text.number, 0
    yield "answers changed", _measured("changed_share"), text.share, 0
    yield "update norm", update_norm, text.number, 0
    yield "merged size", lambda column: merged_size(comparison, column), text.size, 0
    yield "steps", _shown("step"), _whole, 0
    yield "train loss, last", _shown("loss", "last"), text.number, 0
    yield "train loss, least", _shown("loss", "min"), text.number, 0
    yield "own held-out, last", _shown("eval_loss", "last"), text.number, 0
    yield "own held-out, best", _shown("eval_loss", "best"), text.number, 0


def _line(
    comparison: Comparison, name: str, value: Value, write: Callable[..., str], sign: int
) -> Line:
    values = [value(column) for column in comparison.columns]
    cells = tuple(write(one) if one is not None else "-" for one in values)
    return Line(name, cells, _best(comparison, values, cells, sign) if sign else frozenset())


def _best(
    comparison: Comparison, values: Sequence[float | None], cells: Sequence[str], sign: int
) -> frozenset[int]:
    """The best of each base's group: losses of different bases say nothing of each other."""
    found: set[int] = set()
    bases = [comparison.base_of(column) for column in comparison.columns]
    for base in {id(one): one for one in bases}.values():
        own = [one if bases[at] is base else None for at, one in enumerate(values)]
        found |= best(own, cells, sign)
    return frozenset(found)


def best(values: Sequence[float | None], cells: Sequence[str], sign: int) -> frozenset[int]:
    """Where the largest (`sign` 1) or the least (-1) are; nowhere if all look alike."""
    own = [
        (sign * one, at) for at, one in enumerate(values) if one is not None and not math.isnan(one)
    ]
    if len(own) < 2:
        return frozenset()
    top = cells[max(own)[1]]
    tied = frozenset(at for _, at in own if cells[at] == top)
    return tied if len(tied) < len(own) else frozenset()


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _shown(name: str, part: str = "") -> Value:
    def read(column: Column) -> float | None:
        value = column.show.get(name)
        return figure(value.get(part) if part and isinstance(value, Mapping) else value)

    return read


def _measured(name: str) -> Value:
    return lambda column: figure(column.figure(name))


def _score(name: str) -> Value:
    return lambda column: figure(column.figures.get("scores", {}).get(name))


def _trainable(column: Column) -> float | None:
    known = figure(column.show.get("trainable_parameters"))
    return known if known is not None else figure(column.figure("trainable_parameters"))


def share(comparison: Comparison, column: Column) -> float | None:
    """Trained parameters over all."""
    base = comparison.base_of(column)
    trained = _trainable(column)
    total = figure(column.show.get("total_parameters"))
    total = total or (figure(base.figure("total_parameters")) if base else None)
    return trained / total if trained is not None and total else None


def _saved(column: Column) -> float | None:
    name = "model_bytes" if column.member.method == "full" else "adapter_bytes"
    known = figure(column.show.get(name))
    return known if known is not None else figure(column.figure(name))


def merged_size(comparison: Comparison, column: Column) -> float | None:
    """A merged model is as large as its base; a fully trained one is saved whole."""
    if column.member.method == "full":
        return _saved(column)
    base = comparison.base_of(column)
    return figure(base.figure("base_bytes")) if base else None


def update_norm(column: Column) -> float | None:
    """The Frobenius norm of the whole update: the root of the layers' summed squares."""
    norms = column.figures.get("update_norms")
    if not norms:  # of what is more than low-rank updates it is not computed
        return None
    return float(sum(norm * norm for norm in (*norms["layers"], norms["other"])) ** 0.5)


def notes(comparison: Comparison, column: Column) -> list[str]:
    """What has to be said of a column, in words: the worst first."""
    found = [*column.warnings]
    if column.refused:
        found.insert(0, f"{column.refused['summary']} {column.refused['hint']}".strip())
    if column.is_base or column.refused:
        return found
    if equals_base(column):
        if ZERO not in column.warnings:
            found.insert(0, "It changes nothing: it answers exactly as the base does.")
    elif column.figure("changed_share") == 0:
        found.append(
            f"It answers all {len(comparison.prompts)} prompts as the base does: only "
            "probabilities moved."
        )
    base = comparison.base_of(column)
    before = figure(base.figure("held_out_loss")) if base else None
    own = figure(column.figure("held_out_loss"))
    if before is not None and own is not None and own > before + LEAST_GAIN:
        found.append(
            f"It is worse than the base on the held-out rows: {text.number(own)} against "
            f"{text.number(before)}."
        )
    return found


def equals_base(column: Column) -> bool:
    """Whether it was measured and nothing moved."""
    moved = figure(column.figure("kl_from_base"))
    if moved is None:
        return update_norm(column) == 0
    return moved < EQUAL_KL and column.figure("changed_share") == 0


def summary(comparison: Comparison) -> list[str]:
    """The comparison in sentences, one a member that a full fine-tuning run can be held against."""
    found = []
    for column in comparison.columns:
        reached = gain(comparison, column)
        full = _full(comparison, column)
        if reached is None or full is None or column is full:
            continue
        own, all_ = _trainable(column), _trainable(full)
        cost = f" at {text.share(own / all_)} of the parameters" if own and all_ else ""
        gained = f"{text.share(reached)} of full fine-tuning's gain" if reached >= 0 else "no gain"
        found.append(f"{column.member.name}: {gained}{cost}.")
    return found
