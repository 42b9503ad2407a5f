"""The shell around every verb of the engine: lock, signals, events, and always a named end."""

import os
import platform as host
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lora_tui.core import devices, events, preset_files, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.engine import backends, environment, failures, locking, machine, ranks, supervising
from lora_tui.engine.divergence import Diverged
from lora_tui.engine.stopping import Stopping, StopRequested

_TRACE_LINES = 12
_RESERVED = 1 << 16


@dataclass(slots=True, kw_only=True)
class Job:
    """One engine process at work in one run directory."""

    run: Run
    preset: Preset
    stop: Stopping
    progress: dict[str, Any] = field(default_factory=dict)

    def emit(self, kind: str, **fields: Any) -> None:
        """Append an event; fields that are None are left out."""
        if ranks.is_first():
            events.append(self.run.events, kind, **fields)

    def end(self, kind: str, **fields: Any) -> None:
        """Append the final event; from here on a request to stop changes nothing."""
        self.stop.requested = True
        self.emit(kind, **self.progress, **fields)

    def warn(self, text: str) -> None:
        """Say something the user should know."""
        self.emit("warning", text=text)


@dataclass(slots=True, kw_only=True)
class TorchJob(Job):
    """A job that computes."""

    platform: Platform
    torch: Any

    def peak_memory(self) -> int:
        """The most memory taken so far."""
        return machine.peak_memory(self.torch, self.platform.device)


def execute(folder: Path, work: Callable[[Job], None], *, verb: str = "") -> int:
    """Do `work` in a run directory and return the process's exit code.

    `work` writes the `finished` or `stopped` event itself. With a `verb`, which is the one that
    leads to `work`, as many processes do it as `engine.processes` says.
    """
    os.umask(0o077)  # everything in a run directory is the user's alone
    run = Run(folder.absolute())
    progress: dict[str, Any] = {"step": 0}
    say = ranks.voice(run)
    stop = Stopping(lambda: say("stopping"))
    try:
        locking.hold(run)
    except LoraTuiError as error:  # the events are those of the engine that holds the lock
        print(error, file=sys.stderr)
        return 1
    try:
        stop.listen()
        if not ranks.is_one_of_several():
            _reserve(run).write_bytes(bytes(_RESERVED))
        preset = preset_files.load(run.preset)
        count = preset.engine.processes
        if verb and count > 1 and not ranks.is_one_of_several():
            supervising.supervise(verb, run.path, count=count, stop=stop, progress=progress)
        else:
            environment.prepare(preset, is_alone=bool(verb) or not devices.holders())
            work(Job(run=run, preset=preset, stop=stop, progress=progress))
    except StopRequested:
        say("stopped", **progress)
    except BaseException as error:
        stop.requested = True  # so that a request from here on adds nothing
        if not stop.was_raised:
            _report_failure(run, error, progress, say)
            return 1
        # NumPy, for one, is broken by a request amid its import, and torch swallows that.
        traceback.print_exception(error)
        say("stopped", **progress)
    finally:
        _give_room(run)
    return 0


def _reserve(run: Run) -> Path:
    """A little room kept free, so that a full disk still lets the run say why it ended."""
    return run.path / ".reserve"


def _give_room(run: Run) -> None:
    if not ranks.is_one_of_several():
        _reserve(run).unlink(missing_ok=True)


def with_torch(job: Job, *, with_backend: bool = True, **facts: Any) -> TorchJob:
    """Import what the preset needs to compute, in order, and say that the run has started.

    Args:
        job: What was begun.
        with_backend: Whether transformers and Unsloth are imported too.
        facts: More fields for the `started` event.

    Raises:
        LoraTuiError: the preset asks for something that is not there.
    """
    import torch

    torch.set_num_threads(max(1, int(os.environ["OMP_NUM_THREADS"].split(",")[0])))
    chosen = backends.choose_platform(job.preset, torch)
    ranks.join(on_gpu=chosen.on_gpu)
    started = TorchJob(
        run=job.run,
        preset=job.preset,
        stop=job.stop,
        progress=job.progress,
        platform=chosen,
        torch=torch,
    )
    job.emit(
        "started",
        pid=os.getpid(),
        host=host.node(),
        backend=chosen.backend,
        device=machine.device_name(torch, chosen.device),
        device_memory_bytes=machine.total_memory(torch, chosen.device),
        versions=machine.versions(),
        **facts,
    )
    if with_backend:
        backends.import_backend(chosen)
    return started


def _report_failure(
    run: Run, error: BaseException, progress: dict[str, Any], say: Callable[..., object]
) -> None:
    _give_room(run)
    is_training = runs.read_info(run).get("kind", "train") in {"train", "check"}
    summary, hint = failures.explain(error, is_training=is_training)
    lines = "".join(traceback.format_exception(error)).splitlines()
    with suppress(OSError):  # the disk is full, or the run was removed: the log has it
        say(
            "failed",
            summary=failures.without_tokens(summary),
            hint=failures.without_tokens(hint),
            trace_tail=failures.without_tokens("\n".join(lines[-_TRACE_LINES:])),
            cause="diverged" if isinstance(error, Diverged) else None,
            **progress,
        )
    with suppress(OSError):
        print(failures.without_tokens("\n".join(lines)), file=sys.stderr, flush=True)
