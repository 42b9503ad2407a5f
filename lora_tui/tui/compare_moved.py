"""How far each member moved from its base: in figures, and layer by layer."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lora_tui.core import comparison_table, text
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.events import figure
from lora_tui.tui import look
from lora_tui.tui.columns import left, right, width_of
from lora_tui.tui.compare_chart import Heat, heat
from lora_tui.tui.compare_words import name_of, paragraph, refusal, tagged, tags
from lora_tui.tui.look import ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows

_NAME = 24
_FIGURES = (
    ("KL from base", 14),
    ("answers changed", 17),
    ("update norm", 13),
    ("layer at most", 15),
)
_EXPLAINED = (
    "KL: how far the next-token distributions are from the base's along its answers, in nats. "
    "Update norm: the length of all changes of weights together. Layer at most: that length over "
    "the length of the weights that are changed, in the layer that moved most."
)


def lay_out(comparison: Comparison, chosen: int, width: int) -> tuple[Rows, Rows]:
    """The heads of the figures, which stay on top, and the rest below."""
    moved = [at for at, column in enumerate(comparison.columns) if not column.is_base]
    names = max((width_of(tagged(comparison, at)) + 1 for at in moved), default=0)
    room = min(max(names, 10), _NAME, max(8, width - sum(wide for _, wide in _FIGURES)))
    shown = [one for at, one in enumerate(_FIGURES) if room + _up_to(at) <= width]
    head: Row = (
        (" " * room, "muted"),
        *((right(name, wide), "strong") for name, wide in shown),
    )
    rows: list[Row] = []
    for at in moved:
        rows += _figures(comparison, at, _Room(room, len(shown), width), is_chosen=at == chosen)
    if picture := _picture(comparison, moved, width):
        rows += ((), (("update by layer, over the base's own norm", "strong"),), *picture)
    if rows:
        rows += ((), *paragraph("", _EXPLAINED, width, "muted", words="muted"))
    return (head,), tuple(rows)


def _up_to(at: int) -> int:
    return sum(wide for _, wide in _FIGURES[: at + 1])


@dataclass(frozen=True, slots=True)
class _Room:
    """The cells of a name, how many figures stand beside it, and the cells of all."""

    name: int
    figures: int
    all: int


def _figures(comparison: Comparison, at: int, room: _Room, *, is_chosen: bool) -> Iterator[Row]:
    column = comparison.columns[at]
    cursor = look.cursor() if is_chosen else " "
    name = cursor + left(tagged(comparison, at), room.name - 1)
    role = "accent" if is_chosen else "text"
    if column.refused:
        words = f"{glyph('failed')} refused: {refusal(column)}"
        yield from paragraph(name + "  ", words, room.all, role, words="bad")
        return
    values = _values(comparison, column)
    cells = ((right(values[place], _FIGURES[place][1]), "text") for place in range(room.figures))
    yield ((name, role), *cells)
    if comparison_table.equals_base(column):
        said = "It changes nothing: it answers exactly as the base does."
        yield from paragraph(" " * room.name + "  ", said, room.all, "warn", words="warn")


def _values(comparison: Comparison, column: Column) -> list[str]:
    kl, norm = figure(column.figure("kl_from_base")), comparison_table.update_norm(column)
    changed = figure(column.figure("changed_share"))
    asked = len(comparison.prompts)
    is_known = changed is not None and math.isfinite(changed)
    answers = f"{round((changed or 0.0) * asked)} of {asked}" if is_known else "-"
    most = max(_relative(column), default=None)
    return [text.number(kl), answers, text.number(norm), text.share(most)]


def _relative(column: Column) -> tuple[float, ...]:
    norms = column.figures.get("update_norms", {}).get("relative") or ()
    return tuple(value for one in norms if (value := figure(one)) is not None)


def _picture(comparison: Comparison, moved: Sequence[int], width: int) -> Rows:
    letters = tags(comparison)
    rows = [
        Heat(letters[at], name_of(column.member), relative)
        for at in moved
        if (relative := _relative(column := comparison.columns[at]))
    ]
    return heat(rows, width, ascii_only=ascii_only()) if rows else ()
