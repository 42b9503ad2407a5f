"""SIGTERM and SIGINT: leave at once while nothing is lost by it, else at the end of the step."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


class StopRequested(BaseException):
    """Raised where the process is when leaving at once loses nothing.

    Not an Exception: no library may take it for a failure of its own and go on.
    """


class Stopping:
    """Whether somebody asked the run to stop."""

    def __init__(self, announce: Callable[[], object]) -> None:
        """Keep what to do on the first request: append an event."""
        self.requested = False
        self.was_raised = False
        """Whether a request was raised where it arrived: what fails after it, fails by it."""
        self._announce = announce
        self._at_once = True

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from here on; only the main thread may call this."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
        # Whoever launched the engine held them back until somebody listens.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT})

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - signal gives both
        if self.requested:  # a second request, in the middle of saving: nothing to add
            return
        self.requested = True
        with suppress(OSError):  # on a full disk it still stops
            self._announce()
        if self._at_once:
            self.was_raised = True
            raise StopRequested

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, a request only sets `requested`: the work looks at it where it can stop."""
        with self._set(at_once=False):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside, a request raises StopRequested, as it does before anything is deferred."""
        with self._set(at_once=True):
            yield

    @contextmanager
    def _set(self, *, at_once: bool) -> Iterator[None]:
        before, self._at_once = self._at_once, at_once
        try:
            yield
        finally:
            self._at_once, self.was_raised = before, False

    def check(self) -> None:
        """Leave now if a request came while it was deferred."""
        if self.requested:
            raise StopRequested
