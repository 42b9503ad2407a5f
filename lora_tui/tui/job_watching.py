"""The thread of a screen that shows one job without steps: start it or find it, and follow it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from lora_tui.core import comparisons, events, states
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event
from lora_tui.core.folding import Folding
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow
from lora_tui.tui.job_ends import Failure, ending

Moment = TypeVar("Moment")

_APART = 0.5  # seconds between two frames


@dataclass(frozen=True, slots=True)
class Frame(Generic[Moment]):
    """One moment of a job; `seconds` is how long it has lived, `failure` a summary and a hint."""

    now: Moment
    state: str = "starting"
    run: Run | None = None
    seconds: int = 0
    failure: Failure = ("", "")

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come; its engine may take a moment yet to leave."""
        return self.state in states.ENDED


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
        self._last: float | None = None
        self._is_alive, self._due = True, 0.0

    def run(self) -> None:
        """Hand over frames until the job is over or nobody looks.

        Whatever goes wrong here is said by the last frame, so that no screen waits for another.
        """
        try:
            run = self._source if isinstance(self._source, Run) else self._source()
            self._hand_over(run=run)
            self._follow(run)
        except LoraTuiError as error:
            self._hand_over(state="failed", failure=(error.summary, error.hint))
        except Exception as error:
            said = f"Something went wrong in the app ({type(error).__name__})."
            hint = "What runs goes on: opening this again shows it." if self._frame.run else ""
            self._hand_over(state="failed", failure=(said, hint or self._said["again"]))
            raise

    def _follow(self, run: Run) -> None:
        """Until its final event, after which its engine only leaves, or until it is gone."""
        for batch in follow(run, self._cancelled):
            self._fold(batch)
            if self._final:
                break
            if not batch and time.monotonic() >= self._due:
                state = comparisons.state_of(self._telling, alive=True)
                self._hand_over(state=state, seconds=self._lived())
        if not self._cancelled.is_set():
            state, failure = ending(run, self._telling, self._final, **self._said)
            self._is_alive = False
            self._hand_over(state=state, seconds=self._lived(), failure=failure)

    def _fold(self, batch: Sequence[Event]) -> None:
        for event in batch:
            self._telling = states.told(self._telling, event["kind"])
            self._last = events.figure(event.get("t")) or self._last
            if event["kind"] == "launched" or self._since is None:
                self._since = self._last
            if event["kind"] in events.FINAL:
                self._final = event
        self._folding.fold(batch)

    def _lived(self) -> int:
        until = time.time() if self._is_alive else self._last
        return max(0, int(until - self._since)) if until and self._since else 0

    def _hand_over(self, **changes: Any) -> None:
        frame = replace(self._frame, now=self._folding.now, **changes)
        if frame != self._frame or self._frame.run is None:
            self._frame = frame
            self._due = time.monotonic() + _APART
            self._show(frame)
