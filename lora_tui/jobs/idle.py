"""Whether a GPU stands idle: a rented one is paid for all the same."""

from contextlib import suppress

from lora_tui.core import runs
from lora_tui.core.summary import headline
from lora_tui.jobs.doctor import gpus

_IDLE_BELOW = 5.0  # percent


class IdleWatch:
    """Says once that nothing has worked on the GPU for a time; work makes it say so again."""

    def __init__(self, minutes: int) -> None:
        """Begin; 0 minutes is never."""
        self.minutes = minutes
        self._since: float | None = None
        self._is_told = minutes == 0

    def feed(self, now: float, *, at_work: bool, load: float | None) -> bool:
        """Take in how it is `now`; whether this is the moment to tell it.

        Args:
            now: Seconds of a clock that is never set back.
            at_work: Whether a run is at work, be it with its data.
            load: How busy the GPUs are, in percent; None where there is none.
        """
        if at_work or load is None or load >= _IDLE_BELOW:
            self._since = None
            self._is_told = self.minutes == 0
            return False
        if self._since is None:
            self._since = now
        if self._is_told or now - self._since < 60 * self.minutes:
            return False
        self._is_told = True
        return True

    @property
    def waits(self) -> bool:
        """Whether it may be told soon: who feeds this should not end now."""
        return self._since is not None and not self._is_told


def load() -> float | None:
    """How busy the busiest GPU is, in percent; None where there is none that says so."""
    busy = []
    for gpu in gpus():
        with suppress(ValueError):  # one that is split with MIG says [N/A]
            busy.append(float(gpu["utilization.gpu"]))
    return max(busy, default=None)


def is_any_at_work() -> bool:
    """Whether any run is at work now: one that is paused is not."""
    alive = (run for run in runs.list_runs() if runs.is_alive(run))
    return any(headline(run).state != "paused" for run in alive)
