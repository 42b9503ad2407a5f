"""The Compare screen's thread: start the job or find it, follow it, lay out, hand over frames.

No widget is touched from here: frames leave through a callback.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lora_tui.core import comparisons, events, overlay, states, summary
from lora_tui.core.comparison import Column, Comparison, Folding
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event
from lora_tui.core.members import Member, grouped
from lora_tui.core.overlay import Course
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow
from lora_tui.tui import compare_pages
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.job_ends import ending
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.painting import Rows

if TYPE_CHECKING:
    from lora_tui.jobs.compare import Asked

_APART = 0.5  # seconds between two frames that nobody asked for
_SAYS = {"kept": "what was measured before is kept", "again": "r measures anew."}


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment; `head` and `page` were laid out for `look`."""

    comparison: Comparison = field(default_factory=Comparison)
    state: str = "starting"
    run: Run | None = None
    seconds: int = 0
    failure: tuple[str, str] = ("", "")
    look: Look = field(default_factory=Look)
    head: Rows = ()
    page: Rows = ()


class CompareWatch:
    """One comparison made or found, and shown until the screen wants no more of it."""

    def __init__(
        self,
        members: Sequence[Member],
        source: "Run | Asked",
        looking: Latest[Look],
        show: Callable[[Frame], object],
    ) -> None:
        """Nothing is started yet; `source` is a comparison there is, or what one is asked for."""
        self._members, self._source = members, source
        self._looking, self._show = looking, show
        self._frame, self._folding = Frame(), Folding()
        self._shown: Frame | None = None
        self._courses: dict[str, Course | str] = {}
        self._telling: str | None = None
        self._final: Mapping[str, Any] = {}
        self._doing: tuple[str, str] = ("", "")
        self._since = time.monotonic()
        self._due = 0.0

    def run(self) -> None:
        """Hand over frames until nobody looks; the job goes on when this ends."""
        self._folding.now = Comparison(tuple(map(Column, _with_bases(self._members))))
        self._draw()
        if run := self._found_or_started():
            self._frame = replace(self._frame, run=run)
            self._follow(run)
        self._draw()
        while not self._looking.wait():
            self._draw()

    def _found_or_started(self) -> Run | None:
        if isinstance(self._source, Run):
            return self._source
        from lora_tui.jobs import compare

        try:
            run = compare.start(self._members, self._source)
        except LoraTuiError as error:
            said = error.summary, error.hint
            self._frame = replace(self._frame, state="failed", failure=said)
            return None
        columns = tuple(_known(column.member) for column in self._folding.now.columns)
        self._folding.now = replace(self._folding.now, columns=columns)
        return run

    def _read_courses(self) -> None:
        """The curves of those that are new among the columns."""
        for column in self._folding.now.columns:
            member = column.member
            if member.id not in self._courses and not column.is_base:
                self._courses[member.id] = _course(member, self._looking.is_set)

    def _fold(self, batch: Sequence[Event]) -> None:
        for event in batch:
            self._telling = states.told(self._telling, event["kind"])
            if event["kind"] in events.FINAL:
                self._final = event
            with suppress(KeyError, TypeError, IndexError, AttributeError):  # a file holds anything
                self._folding.fold([event])

    def _follow(self, run: Run) -> None:
        fresh = True
        for batch in follow(run, self._looking):
            self._fold(batch)
            fresh = fresh or bool(batch)
            if batch:
                continue
            fresh = self._note_time() or fresh
            if fresh and time.monotonic() >= self._due:
                fresh = False
                self._draw()
            else:
                self._draw(asked_only=True)
        if not self._looking.is_set():
            self._note_end(run)

    def _note_time(self) -> bool:
        """How long the same is done, in seconds; whether that is to be said anew."""
        doing, before = self._folding.now.doing, self._frame
        if doing != self._doing:
            self._doing, self._since = doing, time.monotonic()
        seconds = int(time.monotonic() - self._since)
        state = comparisons.state_of(self._telling, alive=True)
        self._frame = replace(self._frame, state=state, seconds=seconds)
        return self._frame != before

    def _note_end(self, run: Run) -> None:
        state, said = ending(run, self._telling, self._final, **_SAYS)
        if not run.path.is_dir():
            self._frame = replace(self._frame, state=state, failure=said)
            return
        ended = replace(self._folding.now, doing=("", ""), ended=state)
        self._folding.now = ended
        self._frame = replace(self._frame, state=state, seconds=0, failure=said)

    def _draw(self, *, asked_only: bool = False) -> None:
        """Lay out what is looked at and hand it over, if anything about it is new."""
        look = self._looking.value
        if asked_only and self._shown and look == self._shown.look:
            return
        if look.pane == "curves":
            self._read_courses()
        now, before = self._folding.now, self._frame
        if now is not before.comparison or look != before.look:  # else only time went by
            head, page = compare_pages.lay_out(now, self._courses, look)
            self._frame = replace(before, comparison=now, look=look, head=head, page=page)
        self._due = time.monotonic() + _APART
        if self._frame != self._shown:
            self._shown = self._frame
            self._show(self._frame)


def _with_bases(members: Sequence[Member]) -> list[Member]:
    return [member for group in grouped(members) for member in group]


def _known(member: Member) -> Column:
    """A column with what its run's files say; less, if its run is gone."""
    run = Run(Path(member.run))
    if not member.run or not run.path.is_dir():
        return Column(member)
    shown = summary.show(run)
    return Column(member, shown, shown.pop("preset", None) or {})


def _course(member: Member, given_up: Callable[[], bool]) -> Course | str:
    """A member's curves, or why there are none."""
    if not member.run:
        return "made elsewhere: no curve"
    if not Path(member.run).is_dir():
        return "its run was deleted"
    return overlay.read(Run(Path(member.run)), given_up)
