"""The thread of a screen that shows one job without steps: start it or find it, and follow it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from lora_tui.core import comparisons, events, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event
from lora_tui.core.folding import Folding
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow
from lora_tui.tui.compare_words import failure
from lora_tui.tui.log_pages import last_lines

Moment = TypeVar("Moment")


@dataclass(frozen=True, slots=True)
class Frame(Generic[Moment]):
    """One moment of a job; `seconds` is how long it has lived, `failure` a summary and a hint."""

    now: Moment
    state: str = "starting"
    run: Run | None = None
    seconds: int = 0
    failure: tuple[str, str] = ("", "")

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self.state in runs.ENDED


class JobWatch(Generic[Moment]):
    """One job, shown until the screen wants no more of it; the job goes on when this ends."""

    def __init__(
        self,
        source: Run | Callable[[], Run],
        folding: Folding[Moment],
        cancelled: threading.Event,
        show: Callable[[Frame[Moment]], object],
        *,
        kept: str,
        again: str,
    ) -> None:
        """Nothing is started yet; `source` is a job there is, or starts one.

        `kept` says what a stopped one leaves, `again` what key starts it anew.
        """
        self._source, self._folding = source, folding
        self._cancelled, self._show = cancelled, show
        self._said = {"kept": kept, "again": again}
        self._frame = Frame(folding.now)
        self._telling: str | None = None
        self._final: Mapping[str, Any] = {}
        self._since: float | None = None

    def run(self) -> None:
        """Hand over frames until the job is over or nobody looks."""
        try:
            run = self._source if isinstance(self._source, Run) else self._source()
        except LoraTuiError as error:
            self._hand_over(state="failed", failure=(error.summary, error.hint))
            return
        self._hand_over(run=run)
        for batch in follow(run, self._cancelled):
            self._fold(batch)
            if not batch:
                self._hand_over(
                    state=comparisons.state_of(self._telling, alive=True), seconds=self._lived()
                )
        if not self._cancelled.is_set():
            state = comparisons.state_of(self._telling, alive=False)
            words = last_lines(run.log, 3) if state in {"crashed", "failed"} else ()
            said = failure(state, self._final, words, **self._said)
            self._hand_over(state=state, seconds=self._lived(), failure=said)

    def _fold(self, batch: Sequence[Event]) -> None:
        for event in batch:
            self._telling = runs.told(self._telling, event["kind"])
            if event["kind"] == "launched" or self._since is None:
                self._since = events.figure(event.get("t"))
            if event["kind"] in events.FINAL:
                self._final = event
        self._folding.fold(batch)

    def _lived(self) -> int:
        end = events.figure(self._final.get("t")) or time.time()
        return max(0, int(end - (self._since or end)))

    def _hand_over(self, **changes: Any) -> None:
        frame = replace(self._frame, now=self._folding.now, **changes)
        if frame != self._frame or self._frame.run is None:
            self._frame = frame
            self._show(frame)
