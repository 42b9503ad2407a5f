"""The chat screen's thread: start the engine, hand it requests, fold its words, hand over frames.

No widget is touched from here: frames leave through a callback.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from lora_tui.core.chat import Chat, Turn
from lora_tui.core.chat_folding import Folding
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs.follow import follow
from lora_tui.jobs.talk import Talk
from lora_tui.tui.wanting import Wishes

_APART = 0.3  # seconds between two frames: an answer grows by three steps a second at most
_BYTES_A_SECOND = 4000  # what a slow connection carries without lag; large screens move less often

Request = Callable[[Talk], None]


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment; `seconds` since the state began.

    `lost` counts requests that never reached the engine, and says why of the latest.
    """

    chat: Chat = field(default_factory=Chat)
    run: Run | None = None
    seconds: int = 0
    lost: tuple[int, str] = (0, "")


class Requests(Wishes[Request]):
    """What the screen wants of the engine."""

    cost = 0  # bytes that the latest frame took to draw: the screen says so


class ChatWatch:
    """One engine's life, from its start until the screen wants no more of it."""

    def __init__(
        self,
        members: Sequence[Member],
        requests: Requests,
        show: Callable[[Frame], object],
        turns: tuple[Turn, ...] = (),
    ) -> None:
        """Nothing is started yet; `turns` are what was said to an engine before this one."""
        self._members, self._requests, self._show = members, requests, show
        self._folding = Folding(members)
        self._folding.now = replace(self._folding.now, turns=turns)
        self._frame = Frame(self._folding.now)
        self._shown: Frame | None = None
        self._state, self._since = "", time.monotonic()
        self._due = 0.0

    def run(self) -> None:
        """Hand over frames until the engine is gone or nobody waits for them any more."""
        try:
            talk = Talk(self._members)
        except LoraTuiError as error:
            failure = {"summary": error.summary, "hint": error.hint}
            self._folding.now = replace(self._folding.now, ended="failed", failure=failure)
            self._hand_over()
            return
        self._frame = replace(self._frame, run=talk.run)
        try:
            self._follow(talk)
        except Exception:  # a bug of ours is reported, and the chat does not look alive
            self._folding.gone()
            self._hand_over()
            raise
        finally:
            talk.close()  # which waits for nothing: nor does leaving the app

    def _follow(self, talk: Talk) -> None:
        is_stale = True
        for batch in follow(talk.run, self._requests, every=0.1):
            before = self._folding.now
            is_stale |= self._folding.fold(batch) is not before
            asked = False
            for request in self._requests.take():
                self._do(request, talk)
                asked = True
            is_new_state = self._note_state()
            if is_new_state or asked or time.monotonic() >= self._due:
                if is_stale or self._frame.chat.state != "ready":
                    self._hand_over()
                is_stale = False
        if not self._requests.is_set():
            self._folding.gone()
            self._hand_over()

    def _do(self, request: Request, talk: Talk) -> None:
        try:
            request(talk)
        except LoraTuiError as error:
            self._frame = replace(self._frame, lost=(self._frame.lost[0] + 1, error.summary))

    def _note_state(self) -> bool:
        state = self._folding.now.state
        if state == self._state:
            return False
        self._state, self._since = state, time.monotonic()
        return True

    def _hand_over(self) -> None:
        """Hand a frame over if it tells anything new."""
        self._note_state()
        seconds = int(time.monotonic() - self._since)
        waits = self._folding.now.state in {"starting", "loading"}
        frame = replace(self._frame, chat=self._folding.now, seconds=seconds if waits else 0)
        self._due = time.monotonic() + max(_APART, self._requests.cost / _BYTES_A_SECOND)
        if frame != self._shown:
            self._frame = self._shown = frame
            self._show(frame)
