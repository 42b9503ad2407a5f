"""The check screen's thread: start the job, follow it, hand over what it has told so far."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core import runs
from lora_tui.core.checks import Told
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.items import Item
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control, launch
from lora_tui.jobs.follow import follow


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment; `looking` is what is looked at, for `seconds`."""

    items: tuple[Item, ...] = ()
    looking: str = "preset"
    seconds: int = 0
    is_over: bool = False
    figures: Mapping[str, Any] = field(default_factory=dict)
    run: Run | None = None


class CheckWatch:
    """One check made and shown, until the screen wants no more of it."""

    def __init__(
        self,
        preset: Preset,
        options: Mapping[str, Any],
        cancelled: threading.Event,
        show: Callable[[Frame], object],
    ) -> None:
        """Nothing is started yet."""
        self._preset, self._options = preset, options
        self._cancelled, self._show = cancelled, show
        self._frame = Frame()

    def run(self) -> None:
        """Hand over frames until the check is over; one that nobody waits for is killed."""
        try:
            run = launch.start(
                self._preset, name=self._preset.name, kind="check", options=self._options
            )
        except LoraTuiError as error:
            items = (Item("preset", "red", error.summary, error.hint),)
            self._hand_over(Frame(items, is_over=True))
            return
        try:
            self._follow(run)
        finally:
            with suppress(LoraTuiError):  # it may have ended by now
                if runs.is_alive(run):
                    control.kill(run)

    def _follow(self, run: Run) -> None:
        told, since = Told(looking="preset"), time.monotonic()
        for batch in follow(run, self._cancelled):
            was = told.looking
            told.fold(batch)
            if told.looking != was:
                since = time.monotonic()
            seconds = int(time.monotonic() - since)
            self._hand_over(Frame(tuple(told.items), told.looking, seconds, run=run))
        if not self._cancelled.is_set():
            told.end(headline(run))
            items = tuple(told.items)
            self._hand_over(Frame(items, "", is_over=True, figures=told.figures, run=run))

    def _hand_over(self, frame: Frame) -> None:
        if frame != self._frame:
            self._frame = frame
            self._show(frame)
