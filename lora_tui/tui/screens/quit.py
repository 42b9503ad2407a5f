"""Quitting while runs are live, or changes unsaved: says what goes on and what is lost."""

from collections.abc import Sequence

from lora_tui.core import runs
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.tui.columns import cut
from lora_tui.tui.look import glyph
from lora_tui.tui.screens.confirm import Confirm

_NAMED = 5
_WAIT = ("paused", "held")
_WIDTH = 54
_NOUNS = {"train": "run", "compare": "comparison", "merge": "merge", "export": "export"}


def question(live: Sequence[Run], unsaved: Sequence[str] = ()) -> Confirm:
    """The dialogue that names what goes on; enter quits where nothing is lost by it."""
    states = [_state(run) for run in live]
    lines = [_line(run, state) for run, state in zip(live, states, strict=True)][:_NAMED]
    if len(live) > _NAMED:
        lines.append(f"  and {len(live) - _NAMED} more")
    one = len(live) == 1
    going = [run for run, state in zip(live, states, strict=True) if state not in _WAIT]
    if live:
        lines += ["", f"Open lora-tui again and {'it is' if one else 'they are'} back here."]
    if unsaved:
        lines += ["", f"Unsaved changes are lost: {', '.join(unsaved)}."]
    if going:
        go = "goes" if len(going) == 1 else "go"
        title = f"{len(going)} {_noun(going)} {go} on without this app"
    elif live:
        what, where = ("paused ", ", in memory") if "held" not in states else ("", "")
        title = f"{len(live)} {what}{'run waits' if one else 'runs wait'} on{where}"
    else:
        title = "Unsaved changes"
    text = "\n".join(lines).lstrip("\n")
    return Confirm(title, text, yes="quit", no="stay", enter=not unsaved)


def _line(run: Run, state: str) -> str:
    beside = f" ({state})" if state in _WAIT else ""
    shown = "queued" if state == "held" else state
    return f"  {glyph(shown)} {cut(run.id, _WIDTH - len(beside))}{beside}"


def _noun(live: Sequence[Run]) -> str:
    kinds = {runs.read_info(run).get("kind", "train") for run in live}
    noun = _NOUNS.get(kinds.pop(), "job") if len(kinds) == 1 else "job"
    return noun if len(live) == 1 else f"{noun}s"


def _state(run: Run) -> str:
    line = headline(run)
    return "held" if line.ticket and line.ticket.held else line.state
