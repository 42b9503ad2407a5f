"""`python -m lora_tui.jobs.keeper`: starts what waits, with no app open; ends when nothing does.

One process for each home and machine. Whoever queues a run starts it, and so does the app when it
opens; it holds no state of its own, so that it may be killed at any time.
"""

import fcntl
import os
import sys
import time

from lora_tui.core import locations, queue
from lora_tui.core.errors import LoraTuiError
from lora_tui.jobs import keeping
from lora_tui.jobs.queue import dispatch

_EVERY = 0.5  # seconds


def main() -> int:
    """Keep the queue going until nothing needs it; a second keeper ends at once."""
    handle = os.open(keeping.lock(), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0
    while locations.home().is_dir():  # nothing may be made anew of what was removed
        try:
            dispatch()
            with queue.locked():  # so that nobody queues a run while this one leaves
                if not keeping.is_needed():
                    os.close(handle)
                    return 0
        except LoraTuiError as error:  # a full disk passes
            print(time.strftime("%Y-%m-%d %H:%M:%S"), error, file=sys.stderr, flush=True)
            time.sleep(10 * _EVERY)
        time.sleep(_EVERY)
    return 0


if __name__ == "__main__":
    sys.exit(main())
