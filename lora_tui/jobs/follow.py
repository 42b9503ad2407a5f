"""Following a run's events as they are written, while it waits or works."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress

from lora_tui.core import events
from lora_tui.core import queue as tickets
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event
from lora_tui.core.runs import Run
from lora_tui.jobs import queue, slurm

_LOOK_EVERY = 10.0  # seconds


def follow(
    run: Run, cancelled: threading.Event, every: float = 0.25, since: int = 0
) -> Iterator[list[Event]]:
    """Batches of events from the byte `since` on; ends when the run is over or `cancelled` is set.

    An empty batch says that nothing came for `every` seconds.
    """
    offset, due = since, 0.0
    while not cancelled.is_set():
        is_open = tickets.is_open(run)  # asked before reading, so no last line is lost
        while not cancelled.is_set():
            batch, after = events.read_new(run.events, offset)
            if after == offset:
                break
            offset = after
            if batch:
                yield batch
        if not is_open:
            return
        yield []
        if time.monotonic() >= due and tickets.read(run) is not None:
            due = time.monotonic() + _LOOK_EVERY
            with suppress(LoraTuiError):  # a keeper that was killed, a job that SLURM forgot
                queue.keep_going()
                slurm.look()
        cancelled.wait(every)
