"""Telling the user, whatever screen is open, that a run ended or that the GPU stands idle."""

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from typing import Any

from textual.app import App
from textual.notifications import SeverityLevel

from lora_tui.core import config, states
from lora_tui.core.overview import Board
from lora_tui.core.runs import Run
from lora_tui.core.signals import ending, outcome, signals
from lora_tui.core.summary import Headline
from lora_tui.core.text import one_line
from lora_tui.jobs import idle, logout, notify
from lora_tui.jobs.idle import IdleWatch

_ASK_GPU_EVERY = 30.0


class Ends:
    """Which runs ended since the last look: those that were at work, or failed to begin."""

    def __init__(self) -> None:
        """Know of no run."""
        self._before: dict[Run, str] = {}

    def fold(self, board: Board) -> list[Headline]:
        """The runs that ended since the board before; one that was over then is no news."""
        ended = [
            line for run, line in board.lines.items() if _is_news(self._before.get(run), line.state)
        ]
        self._before = {run: line.state for run, line in board.lines.items()}
        return ended


def _is_news(before: str | None, state: str) -> bool:
    """Whether a run ended by itself or at work; one taken out of the queue was by somebody."""
    has_ended = state in states.ENDED and before in {*states.LIVE, "queued"}
    return has_ended and (before, state) != ("queued", "stopped")


class Teller:
    """Tells by toast, bell and desktop notification; the app feeds it what Home sees."""

    def __init__(self, app: App[Any]) -> None:
        """Tell nothing yet."""
        self._app = app
        self._ends = Ends()
        self._has_warned = False

    def begin(self) -> None:
        """Read the user's settings, which says what is wrong with them, and watch the GPU."""
        self._work(self._begin, thread=True)

    def see(self, board: Board) -> None:
        """Tell which runs ended since the board before."""
        if ended := self._ends.fold(board):
            self._work(self._tell(ended))

    def warn_of_logout(self) -> None:
        """Say, once, if a logout would end what was just started."""
        if not self._has_warned:
            self._has_warned = True
            self._work(self._warn, thread=True)

    def _work(self, work: Any, *, thread: bool = False) -> None:
        self._app.run_worker(work, thread=thread, exit_on_error=False, group="tell")

    def _begin(self) -> None:
        minutes = config.load().notify.idle_minutes
        if minutes and shutil.which("nvidia-smi"):
            self._app.call_later(self._watch_gpu, IdleWatch(minutes))

    def _watch_gpu(self, watch: IdleWatch) -> None:
        def ask() -> None:
            self.ask_gpu(watch, time.monotonic())

        self._app.set_interval(_ASK_GPU_EVERY, lambda: self._work(ask, thread=True))

    def ask_gpu(self, watch: IdleWatch, now: float) -> None:
        """Ask how the GPU does `now`, and tell if it is idle for long; for a thread."""
        if watch.feed(now, at_work=idle.is_any_at_work(), load=idle.load()):
            self._app.call_later(self._tell_idle, watch.minutes)

    def _tell_idle(self, minutes: int) -> None:
        said = notify.IDLE.format(minutes)
        self._app.notify(notify.IDLE_HINT, title=said, severity="warning", timeout=20, markup=False)
        self._work(self._ring([said]))

    async def _tell(self, ended: Sequence[Headline]) -> None:
        for line in ended:
            if getattr(self._app.screen, "run", None) != line.run:
                self._toast(line)
        await self._ring([ending(line) for line in ended])

    def _toast(self, line: Headline) -> None:
        severity: SeverityLevel = "error" if line.failure else "information"
        title, words = f"{one_line(line.name)} {line.state}", outcome(line)
        self._app.notify(words, title=title, severity=severity, timeout=12, markup=False)

    async def _ring(self, said: Sequence[str]) -> None:
        how = (await asyncio.to_thread(config.load)).notify
        driver = self._app._driver
        if driver is not None:  # between two frames: each is written in one piece
            driver.write("".join(signals("lora-tui", words, how, os.environ) for words in said))

    def _warn(self) -> None:
        if words := logout.warning():
            self._app.call_later(self._show_warning, words)

    def _show_warning(self, words: str) -> None:
        self._app.notify(words, severity="warning", timeout=20, markup=False)
