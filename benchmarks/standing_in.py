"""Run directories that stand in for real ones: many short ones, a very long one, a live one."""

import fcntl
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lora_tui.core import events, preset_files
from lora_tui.core.files import private_folder
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run

NAME = "stand-in"


def make(home: Path, id_: str, name: str = NAME) -> Run:
    """A run directory without events."""
    run = Run(private_folder(home / "runs") / id_)
    run.path.mkdir()
    run.preset.write_text(preset_files.dumps(Preset(name=name)))
    info = {"schema": 1, "name": name, "kind": "train", "created": time.time(), "model": "demo"}
    run.info.write_text(json.dumps(info))
    return run


def step(number: int, most: int, seconds: float) -> dict[str, object]:
    """The fields of a plausible step."""
    ideal = 1.2 + 1.5 * math.exp(-8 * number / most)
    return {
        "step": number,
        "epoch": round(3 * number / most, 6),
        "loss": round(ideal + random.gauss(0, 0.12), 6),
        "learning_rate": 2e-4 * (1 - number / most),
        "grad_norm": abs(random.gauss(1, 0.3)),
        "tokens": 1500 * number,
        "trained_tokens": 700 * number,
        "seconds": round(seconds, 4),
        "memory_bytes": 3_100_000_000,
    }


def written(run: Run, steps: int, *, pace: float = 0.02) -> int:
    """Write a finished run of that many steps; the size of its events."""
    began = time.time() - steps * pace
    head: list[tuple[str, dict[str, object]]] = [
        ("launched", {"pid": 1, "host": "box"}),
        ("started", {"backend": "unsloth", "device": "cpu"}),
        ("data", {"max_steps": steps}),
    ]
    with run.events.open("w") as file:

        def say(after: float, kind: str, fields: dict[str, object]) -> None:
            line = json.dumps({"t": began + after, "kind": kind, **fields}, separators=(",", ":"))
            file.write(line + "\n")

        for kind, facts in head:
            say(0, kind, facts)
        for number in range(1, steps + 1):
            say(number * pace, "step", step(number, steps, number * pace))
            if number % max(1, steps // 20) == 0:
                say(
                    number * pace,
                    "eval",
                    {"step": number, "loss": 1.25 + 1.4 * math.exp(-8 * number / steps)},
                )
        say(steps * pace, "finished", {"step": steps, "adapter_bytes": 19_543_210})
    return run.events.stat().st_size


def many_runs(home: Path, many: int) -> None:
    """A home with finished runs in it."""
    for number in range(many):
        day, minute = divmod(number, 24 * 60)
        id_ = f"202611{day + 1:02d}-{minute // 60:02d}{minute % 60:02d}-run-{number:04d}"
        written(make(home, id_, f"run-{number:04d}"), 60)


def long_run(home: Path, steps: int) -> int:
    """A home with one very long run; the size of its events."""
    return written(make(home, "20261123-0000-long"), steps)


@contextmanager
def live_run(home: Path, rate: float, most: int) -> Iterator[Run]:
    """A run that another process goes on with."""
    run = make(home, "20261123-0000-live")
    writer = subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(run.path), str(rate), str(most)]
    )
    try:
        while not run.lock.exists():
            time.sleep(0.01)
        yield run
    finally:
        writer.kill()
        writer.wait()


def go_on(run: Run, rate: float, most: int) -> None:
    """What stands for the engine: holds the lock, appends steps at a rate."""
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        events.append(run.events, "launched", pid=1, host="box")
        events.append(run.events, "started", backend="unsloth", device="cpu")
        events.append(run.events, "data", max_steps=most)
        began = time.time()
        for number in range(1, most + 1):
            events.append(run.events, "step", **step(number, most, time.time() - began))
            time.sleep(max(0.0, began + number / rate - time.time()))


def pace(run: Run, meanwhile: Callable[[], object]) -> float:
    """Real tokens a second of a run while something is done, by the run's own clock."""
    began = time.time()
    meanwhile()
    ended = time.time()
    steps = [
        event
        for batch in events.batches(run.events)
        for event in batch
        if event["kind"] == "step" and began <= event["t"] <= ended
    ]
    first, last = steps[0], steps[-1]
    return float((last["tokens"] - first["tokens"]) / (last["seconds"] - first["seconds"]))


if __name__ == "__main__":
    go_on(Run(Path(sys.argv[1])), float(sys.argv[2]), int(sys.argv[3]))
