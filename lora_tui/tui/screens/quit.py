"""Quitting while runs are live, or changes unsaved: says what goes on and what is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from lora_tui.core import runs
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.tui.columns import cut
from lora_tui.tui.look import glyph
from lora_tui.tui.screens.confirm import Confirm

_NAMED = 5
_WIDTH = 54
_NOUNS = {"train": "run", "compare": "comparison", "merge": "merge", "export": "export"}


@dataclass(frozen=True, slots=True)
class Going:
    """A job that goes on without the app: its id, kind and state, `held` where it is."""

    id: str
    kind: str
    state: str

    @classmethod
    def read(cls, run: Run) -> Self:
        """What its files say, which takes a moment."""
        line = headline(run)
        state = "held" if line.ticket and line.ticket.held else line.state
        return cls(run.id, str(runs.read_info(run).get("kind", "train")), state)

    @property
    def waits(self) -> bool:
        """Whether it goes on only when it is told to."""
        return self.state in ("paused", "held")


def question(live: Sequence[Going], unsaved: Sequence[str] = ()) -> Confirm:
    """The dialogue that names what goes on; enter quits where nothing is lost by it."""
    lines = [_line(job) for job in live[:_NAMED]]
    if len(live) > _NAMED:
        lines.append(f"  and {len(live) - _NAMED} more")
    one, going = len(live) == 1, [job for job in live if not job.waits]
    if live:
        lines += ["", f"Open lora-tui again and {'it is' if one else 'they are'} back here."]
    if unsaved:
        lines += ["", f"Unsaved changes are lost: {', '.join(unsaved)}."]
    if going:
        go = "goes" if len(going) == 1 else "go"
        title = f"{len(going)} {_noun(going)} {go} on without this app"
    elif live:
        is_held = any(job.state == "held" for job in live)
        what, where = ("", "") if is_held else ("paused ", ", in memory")
        title = f"{len(live)} {what}{'run waits' if one else 'runs wait'} on{where}"
    else:
        title = "Unsaved changes"
    text = "\n".join(lines).lstrip("\n")
    return Confirm(title, text, yes="quit", no="stay", enter=not unsaved)


def _line(job: Going) -> str:
    beside = f" ({job.state})" if job.waits else ""
    shown = "queued" if job.state == "held" else job.state
    return f"  {glyph(shown)} {cut(job.id, _WIDTH - len(beside))}{beside}"


def _noun(live: Sequence[Going]) -> str:
    kinds = {job.kind for job in live}
    noun = _NOUNS.get(kinds.pop(), "job") if len(kinds) == 1 else "job"
    return noun if len(live) == 1 else f"{noun}s"
