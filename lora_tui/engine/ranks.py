"""One run in several processes: which of them this is, and what they tell each other.

Alone, a process is the first and the last one, and no function here waits for anything.
"""

import ctypes
import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any

from lora_tui.core import events
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run

MEETING, WORDS, PARENT = "LORA_TUI_MEETING", "LORA_TUI_WORDS", "LORA_TUI_PARENT"
"""What `engine.supervising` sets beside torchrun's own RANK and WORLD_SIZE: the file in which they
find each other, the descriptor of the pipe for last words, and who started them."""

_EVER = timedelta(days=3650)
"""They may wait for the first one through a pause, an evaluation, a download: whoever watches them
ends all when one of them dies, so no clock has to."""

_LONGEST = 4000  # characters of a text among somebody's last words
_PR_SET_PDEATHSIG = 1  # prctl(2)

_talk: Any = None
"""The group through which they agree; gradients have one of their own, with a time limit."""


def is_one_of_several() -> bool:
    """Whether this process was started to share a run with others."""
    return MEETING in os.environ


def number() -> int:
    """Which of them this is, counted from 0."""
    return int(os.environ["RANK"]) if is_one_of_several() else 0


def count() -> int:
    """How many share the run."""
    return int(os.environ["WORLD_SIZE"]) if is_one_of_several() else 1


def is_first() -> bool:
    """Whether this is the one that reports, measures and saves."""
    return number() == 0


def voice(run: Run) -> Callable[..., object]:
    """What appends an event to the run's; several tell their ends to who watches them instead."""
    return _last_words if is_one_of_several() else partial(events.append, run.events)


def _last_words(kind: str, **fields: Any) -> None:
    # Far less than a pipe holds: it is read once this process has ended.
    said = {
        name: value[-_LONGEST:] if isinstance(value, str) else value
        for name, value in fields.items()
    }
    line = json.dumps(events.finite({"t": time.time(), "kind": kind, **said}), ensure_ascii=False)
    with suppress(OSError):  # nobody listens any more
        os.write(int(os.environ[WORDS]), line.encode("utf-8", "replace") + b"\n")


def end_with_parent() -> None:
    """Let the system end this process when the one that watches it ends, whatever ends that."""
    with suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ[PARENT]):  # it ended before that
        os.kill(os.getpid(), signal.SIGKILL)


def join(*, on_gpu: bool) -> None:
    """Meet the others, once torch is imported; nothing of it is seen on the network.

    Raises:
        LoraTuiError: there are fewer GPUs than processes.
    """
    global _talk  # noqa: PLW0603 - a process belongs to one run
    if not is_one_of_several():
        return
    from torch import distributed

    if not on_gpu:  # torch restores a checkpoint to "cpu", and not to accelerate's "cpu:0"
        os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    # They are all on this machine.
    for library in ("GLOO", "NCCL"):
        os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
    store = distributed.FileStore(os.environ[MEETING], count())
    store.set_timeout(_EVER)
    store.set(f"gpu of {number()}", str(int(on_gpu)))
    gpus = sum(store.get(f"gpu of {one}") == b"1" for one in range(count()))
    if gpus not in {0, count()}:
        raise too_few_gpus(gpus)
    distributed.init_process_group(
        "nccl" if on_gpu else "gloo", store=store, rank=number(), world_size=count()
    )
    _talk = distributed.new_group(backend="gloo", timeout=_EVER)


def too_few_gpus(found: int) -> LoraTuiError:
    """What is wrong when not every process can have a GPU."""
    return LoraTuiError(
        f"engine.processes is {count()}, and torch sees {found} GPU{'s' * (found != 1)} here.",
        f'Set engine.processes = {found}, or engine.device = "cpu".',
    )


def shared(value: Any) -> Any:
    """What the first one passes, once all have called this."""
    if not is_one_of_several():
        return value
    from torch import distributed

    box = [value]
    distributed.broadcast_object_list(box, src=0, group=_talk)
    return box[0]


def wait() -> None:
    """Go on once all have come here."""
    if is_one_of_several():
        from torch import distributed

        distributed.barrier(group=_talk)


def total(*values: float) -> tuple[float, ...]:
    """Each value summed over all of them."""
    if not is_one_of_several():
        return values
    import torch

    sums = torch.tensor(values, dtype=torch.float64)
    torch.distributed.all_reduce(sums, group=_talk)
    return tuple(sums.tolist())


def mean(value: float) -> float:
    """The mean over all of them."""
    return total(value)[0] / count()
