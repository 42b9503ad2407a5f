"""What the Compare screen says in words: who is who, what is done now, how it ended."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_letters
from typing import Any

from lora_tui.core import comparison_table, text
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.events import figure, whole
from lora_tui.core.members import BASE, Member
from lora_tui.core.text import duration, one_line
from lora_tui.tui import look, row_text
from lora_tui.tui.columns import cut, dot, plain, width_of
from lora_tui.tui.look import STATES, ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, end_of

PANES = ("table", "curves", "outputs", "moved")

_ROLES = {"running": "accent", "stopping": "warn", "finished": "good", "stopped": "warn"}


def tags(comparison: Comparison) -> list[str]:
    """A letter for each member, the same in every pane; bases have none."""
    letters = iter(ascii_letters)
    return ["" if one.is_base else next(letters, "*") for one in comparison.columns]


def name_of(member: Member) -> str:
    """What a member is called in little room: a base by its id, a folder by its last part."""
    if member.method == BASE:
        return member.id
    return member.name if member.run else Path(member.name).name


def tagged(comparison: Comparison, at: int) -> str:
    """A member's letter and name."""
    return f"{tags(comparison)[at]} {one_line(name_of(comparison.columns[at].member))}".strip()


def names(members: Sequence[Member]) -> str:
    """Who is compared, in one line."""
    return ", ".join(one_line(name_of(member)) for member in members)


def warning_sign() -> str:
    """What stands before something to be looked at."""
    return look.warning()


def paragraph(
    start: str, said: str, width: int, role: str, *, words: str = "text"
) -> Iterator[Row]:
    """A mark or a name, and a text of any origin beside it in as many lines as it takes."""
    room = max(8, width - width_of(start))
    for line in row_text.wrapped(plain(one_line(said)), room):
        yield (start, role), (line, words)
        start = " " * width_of(start)


def how_asked(settings: Mapping[str, Any]) -> str:
    """How the answers were made: `greedy, at most 64 tokens`; nothing before it is known."""
    if not settings:
        return ""
    temperature = figure(settings.get("temperature")) or 0.0
    most = f"at most {text.number(whole(settings.get('max_new_tokens')))} tokens"
    if not temperature:
        return f"greedy, {most}"
    top_p = figure(settings.get("top_p"))
    nucleus = f", top-p {top_p:g}" if top_p is not None and top_p < 1 else ""
    seed = f", seed {settings.get('seed')}"
    return f"temperature {temperature:g}{nucleus}{seed}, {most}"


def how_measured(comparison: Comparison) -> str:
    """On what the held-out loss was measured, on which device, in which precision."""
    found, started = comparison.held_out, comparison.started
    if not found.get("rows"):
        return ""
    left_out = whole(found.get("left_out"))
    parts = [
        f"Held-out loss: {text.number(whole(found['rows']))} rows of {found.get('source')}, "
        f"{text.number(whole(found.get('tokens')))} tokens",
        *([f"{left_out:,} left out, for a run trained on them"] if left_out else []),
        *(str(said) for said in (found.get("dtype"), started.get("device")) if said),
    ]
    return one_line(dot().join(parts))


def number_of_notes(comparison: Comparison) -> int:
    """How many things there are to look at, below the table."""
    columns = (comparison_table.notes(comparison, column) for column in comparison.columns)
    return sum(map(len, columns)) + len(comparison.warnings)


def doing(comparison: Comparison, seconds: int) -> str:
    """What is measured now, and for how long."""
    id_, what = comparison.doing
    column = comparison.column(id_)
    at = comparison.columns.index(column) if column else None
    who = f"{tagged(comparison, at)}: " if at is not None else ""
    waiting = f" {duration(seconds)}" if seconds else ""
    dots = "..." if ascii_only() else "…"
    return f"{who}{what or 'starting the engine'}{dots}{waiting}"


def foot(
    comparison: Comparison, state: str, seconds: int, path: str, width: int, *, is_seen: bool
) -> Row:
    """One calm line: what is measured now, or where it is kept; what there is to look at beyond."""
    number = 0 if is_seen else number_of_notes(comparison)
    words = "1 note below the table" if number == 1 else f"{number} notes below the table"
    end = f"{warning_sign()} {words}" if number else ""
    role = _ROLES.get(state, "bad")
    if state in {"starting", "running"}:
        said = f"{glyph('running')} {doing(comparison, seconds)}"
        end = end or "leaving lets it go on"
        said = cut(said, width - width_of(end) - 2)
        gap = " " * max(2, width - width_of(said) - width_of(end))
        return (said + gap, "accent"), (end, "warn" if number else "muted")
    start = f"{glyph(state) if state in STATES else glyph('failed')} {state}  "
    room = max(0, width - width_of(start) - width_of(end) - 2)
    kept = f"kept in {end_of(path, max(0, room - 8))}" if path else ""
    gap = " " * max(2, width - width_of(start + kept) - width_of(end))
    return (start, role), (kept + gap, "muted"), (end, "warn")


def refusal(column: Column) -> str:
    """Why a member was not measured, in one sentence."""
    return one_line(f"{column.refused['summary']} {column.refused.get('hint', '')}")
