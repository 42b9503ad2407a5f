"""A sweep before it starts and after, as lines of text: its plan, and a page to pass on."""

from collections.abc import Iterator, Sequence

from lora_tui.core import grids, sweep_table, text
from lora_tui.core.overlay import Course
from lora_tui.core.settings import Problem
from lora_tui.core.sweep_plan import Cost, Plan
from lora_tui.core.sweep_rows import Following, Row
from lora_tui.core.sweeps import Sweep
from lora_tui.core.text import one_line
from lora_tui.tui import look, sweep_chart, sweep_words
from lora_tui.tui.columns import left, right, width_of
from lora_tui.tui.compare_chart import Drawing, overlay
from lora_tui.tui.compare_words import paragraph
from lora_tui.tui.look import ascii_only, glyph
from lora_tui.tui.widgets.painting import Row as Painted
from lora_tui.tui.widgets.painting import Rows

_LABEL = 9
_NAME = 28
_FIGURES = (("trained", 8), ("saved", 9), ("memory", 9), ("time", 8))
_WIDTH, _HEIGHT = 100, 20  # of the charts on a page to pass on


# --- before ------------------------------------------------------------------------------------


def plan_rows(plan: Plan | None, width: int) -> Rows:
    """What is in the way, what it costs, each run of it, and what is good to know."""
    if width < 8:
        return ()
    if plan is None:
        return ((("...", "muted"),),)
    return tuple(_plan(plan, width))


def _plan(plan: Plan, width: int) -> Iterator[Painted]:
    for problem in plan.problems:
        yield from paragraph(f"{glyph('failed')} ", _said(problem), width, "bad")
    if plan.problems and plan.costs:
        yield ()
    for name, said in plan.facts() if plan.costs else ():
        yield from paragraph(left(name, _LABEL), said, width, "muted")
    if plan.costs:
        yield ()
        yield from _costs(plan.costs, width)
    for at, note in enumerate(plan.notes):
        if not at:
            yield ()
        yield from paragraph(f"{look.warning()} ", note, width, "warn", words="muted")


def _said(problem: Problem) -> str:
    return f"{problem.key}: {problem.message}" if problem.key else problem.message


def _costs(costs: Sequence[Cost], width: int) -> Iterator[Painted]:
    """A line a run; figures that have no room are left out from the right."""
    labels = [one_line(cost.variant.label) for cost in costs]
    name = min(_NAME, max(_LABEL - 2, *map(width_of, labels)))
    shown = len(_FIGURES)
    while shown and name + sum(wide for _, wide in _FIGURES[:shown]) > width:
        shown -= 1
    figures = _FIGURES[:shown]
    yield ((left("run", name) + "".join(right(title, wide) for title, wide in figures), "muted"),)
    for cost, label in zip(costs, labels, strict=True):
        about = "~" if cost.is_rough else ""
        known = {
            "trained": text.count(cost.trainable),
            "saved": text.size(cost.saved),
            "memory": text.size(cost.memory),
            "time": about + text.duration(cost.seconds),
        }
        cells = "".join(right(known[title], wide) for title, wide in figures)
        yield (left(label, name), "text"), (cells, "text")


def foot(plan: Plan | None) -> Painted:
    """Whether it can start."""
    if plan is None:
        return (("looking at it" + ("..." if ascii_only() else "…"), "muted"),)
    if plan.problems:
        number = len(plan.problems)
        things = "1 thing is" if number == 1 else f"{number} things are"
        return ((f"{glyph('failed')} {things} in the way", "bad"),)
    number = len(plan.costs)
    return ((f"t starts {'it' if number == 1 else f'all {number}'}", "muted"),)


# --- after -------------------------------------------------------------------------------------


def page(sweep: Sweep) -> str:
    """The table, both charts and what it comes to, in Markdown with plain text inside."""
    following = Following(sweep)
    rows = following.look()
    parts = [
        f"# {one_line(sweep.name)}",
        "\n".join(f"- {one_line(key)} = {grids.typed(sweep.grid[key])}" for key in sweep.grid),
        _block(sweep_table.lines(rows)),
        "Held-out loss over trained parameters:",
        _block(_plain(_trade(rows))),
        "Held-out loss by step:",
        _block(_plain(_curves(rows, following.courses()))),
    ]
    if said := sweep_table.summary_of(rows):
        parts.append("\n".join(f"- {one_line(sentence)}" for sentence in said))
    return "\n\n".join(parts) + "\n"


def _trade(rows: Sequence[Row]) -> Rows:
    how = Drawing(_WIDTH, _HEIGHT, ascii_only=ascii_only())
    return sweep_chart.trade_off(sweep_table.trade_off(rows), sweep_words.tags(len(rows)), how)


def _curves(rows: Sequence[Row], courses: Sequence[Course]) -> Rows:
    curves = [
        sweep_chart.curve(tag, row, course, "held-out")
        for tag, row, course in zip(sweep_words.tags(len(rows)), rows, courses, strict=True)
    ]
    return overlay(curves, Drawing(_WIDTH, _HEIGHT, smooth=False, ascii_only=ascii_only()))


def _plain(rows: Rows) -> Iterator[str]:
    return ("".join(words for words, _ in row).rstrip() for row in rows)


def _block(lines: Iterator[str]) -> str:
    return "\n".join(["```text", *lines, "```"])
