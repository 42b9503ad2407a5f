"""Following a run's events as they are written, while it waits or works."""

import threading
from collections.abc import Iterator

from lora_tui.core import events, queue
from lora_tui.core.events import Event
from lora_tui.core.runs import Run


def follow(
    run: Run, cancelled: threading.Event, every: float = 0.25, since: int = 0
) -> Iterator[list[Event]]:
    """Batches of events from the byte `since` on; ends when the run is over or `cancelled` is set.

    An empty batch says that nothing came for `every` seconds.
    """
    offset = since
    while not cancelled.is_set():
        is_open = queue.is_open(run)  # asked before reading, so no last line is lost
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
        cancelled.wait(every)
