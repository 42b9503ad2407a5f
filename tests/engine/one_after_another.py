"""An engine process that does one verb after another: what its libraries cost is paid once.

Each line of its input is a verb and a run directory; each line of its output an exit code. To each
run it is what a process of its own would be: it works in its directory, writes into its log, and
lets go of its lock at the end.
"""

import os
import sys
from pathlib import Path

from lora_tui.core.runs import Run
from lora_tui.engine.__main__ import leave, main


def work(verb: str, run: Run) -> int:
    """One verb, as if it were all that this process ever does."""
    os.chdir(run.path)
    with run.log.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    code = main([verb, str(run.path)])
    sys.stdout.flush()
    for handle in Path("/proc/self/fd").iterdir():
        if handle.resolve() == run.lock:
            os.close(int(handle.name))
    return code


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        asked, folder = line.strip().split(maxsplit=1)
        print(work(asked, Run(Path(folder).resolve())), file=answers, flush=True)
    leave(0)
