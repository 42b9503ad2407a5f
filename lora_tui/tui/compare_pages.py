"""The four panes of a comparison as finished lines of text. Pure; run in a worker thread."""

from collections.abc import Mapping
from dataclasses import dataclass

from lora_tui.core.comparison import Comparison
from lora_tui.core.overlay import Course
from lora_tui.tui import compare_grid, compare_moved, compare_outputs
from lora_tui.tui.columns import dot
from lora_tui.tui.compare_chart import Curve, Drawing, overlay, unit_of
from lora_tui.tui.compare_words import name_of, tags
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.painting import Row, Rows

_KINDS = {"loss": "train loss, smoothed", "held-out": "loss on its own held-out rows"}

Courses = Mapping[str, Course | str]
"""By a member's id, its curves, or why it has none."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at, and the cells there are for it."""

    pane: str = "table"
    chosen: int = 1
    prompt: int = 0
    kind: str = "loss"
    axis: str = "step"
    log: bool = False
    width: int = 0
    height: int = 0


def lay_out(comparison: Comparison, courses: Courses, look: Look) -> tuple[Rows, Rows]:
    """What stays on top of a pane, and what is below it."""
    if not comparison.columns or look.width < 8:
        return (), ()
    chosen = min(look.chosen, len(comparison.columns) - 1)
    if look.pane == "curves":
        return _curves(comparison, courses, look, chosen)
    if look.pane == "outputs":
        return compare_outputs.lay_out(
            comparison, look.prompt, chosen, width=look.width, height=look.height
        )
    if look.pane == "moved":
        return compare_moved.lay_out(comparison, chosen, look.width)
    return compare_grid.lay_out(comparison, chosen, look.width)


def _curves(comparison: Comparison, courses: Courses, look: Look, chosen: int) -> tuple[Rows, Rows]:
    letters = tags(comparison)
    curves = []
    for tag, column in zip(letters, comparison.columns, strict=True):
        course = courses.get(column.member.id, "not read yet")
        if not column.is_base:
            name = name_of(column.member)
            if isinstance(course, str):
                curves.append(Curve(tag, name, (), course))
            else:
                points = course.points(look.kind, look.axis)
                curves.append(Curve(tag, name, points, "not reported"))
    how = Drawing(
        look.width,
        max(0, look.height - 1),
        look.axis,
        look.log,
        look.kind == "loss",
        letters[chosen],
        ascii_only(),
    )
    _, unit = unit_of(look.axis, curves)
    scale = f"{dot()}log scale" if look.log else ""
    head: Row = ((_KINDS[look.kind], "strong"), (f"  by {unit}{scale}", "muted"))
    return (head,), overlay(curves, how)
