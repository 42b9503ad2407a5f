"""Quitting while runs are live, or changes unsaved: says what goes on and what is lost."""

from collections.abc import Sequence

from lora_tui.core.runs import Run
from lora_tui.tui.columns import cut
from lora_tui.tui.look import glyph
from lora_tui.tui.screens.confirm import Confirm

_NAMED = 5


def question(live: Sequence[Run], unsaved: Sequence[str] = ()) -> Confirm:
    """The dialogue that names what goes on; enter quits where nothing is lost by it."""
    lines = [
        f"  {glyph('queued' if run.ticket.exists() else 'running')} {cut(run.id, 54)}"
        for run in live[:_NAMED]
    ]
    if len(live) > _NAMED:
        lines.append(f"  and {len(live) - _NAMED} more")
    one = len(live) == 1
    if live:
        lines += ["", f"Open lora-tui again and {'it is' if one else 'they are'} back here."]
    if unsaved:
        lines += ["", f"Unsaved changes are lost: {', '.join(unsaved)}."]
    if live:
        title = f"{len(live)} {'run goes' if one else 'runs go'} on without this app"
    else:
        title = "Unsaved changes"
    text = "\n".join(lines).lstrip("\n")
    return Confirm(title, text, yes="quit", no="stay", enter=not unsaved)
