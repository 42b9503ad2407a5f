"""A thousand runs, and a run whose events take a gigabyte: time and memory of what reads them.

    python -m benchmarks.extremes [--gigabytes 1] [--repeats 3] [--out FILE]

Each figure is of a process of its own, as a user starts it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import app_speed, standing_in
from benchmarks.tables import APP, SURVIVAL, Line, home, section

BYTES_A_STEP = 236
"""What a step of `standing_in` takes."""
HEADLINES = (
    "from lora_tui.core import runs; from lora_tui.core.summary import headline;"
    "print(len([headline(run) for run in runs.list_runs()]))"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    asked = parser.parse_args()
    steps = int(asked.gigabytes * 1e9 / BYTES_A_STEP)
    how = f"benchmarks.extremes --gigabytes {asked.gigabytes:g} --repeats {asked.repeats}"
    with section(asked.out, "extremes", how) as lines:
        lines.extend(thousand_runs(asked.repeats))
        lines.extend(long_events(steps, asked.repeats))
        lines.extend(app_speed.opening_a_long_run(steps, 1))


def thousand_runs(repeats: int) -> list[Line]:
    """Listing them, as Home and as the command line do."""
    with home() as env:
        standing_in.many_runs(Path(env["LORA_TUI_HOME"]), 1000)
        cold = [_cost([sys.executable, "-c", HEADLINES], env) for _ in range(repeats)]
        listed = [_cost([*APP, "runs"], env) for _ in range(repeats)]
        found = [_cost([*APP, "show", "last"], env) for _ in range(repeats)]
    return [
        *_lines("1,000 runs, a line of each", cold),
        *_lines("1,000 runs, `lora-tui runs`", listed),
        *_lines("1,000 runs, `lora-tui show last`", found),
    ]


def long_events(steps: int, repeats: int) -> list[Line]:
    """A finished run of that many steps: its line, and all of it."""
    with home() as env:
        size = standing_in.long_run(Path(env["LORA_TUI_HOME"]), steps)
        line = [_cost([sys.executable, "-c", HEADLINES], env) for _ in range(repeats)]
        shown = [_cost([*APP, "show", "last", "--json"], env, steps) for _ in range(repeats)]
    return [
        *_lines(f"{size / 1e9:.2f} GB of events, the run's line", line),
        *_lines(f"{size / 1e9:.2f} GB of events, `lora-tui show`", shown),
    ]


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command takes."""

    seconds: float
    processor: float
    megabytes: float


def _lines(name: str, costs: Sequence[Cost]) -> list[Line]:
    return [
        Line(name, [one.seconds for one in costs], "s"),
        Line("… of a processor", [one.processor for one in costs], "s"),
        Line("… most memory", [one.megabytes for one in costs], "MB"),
    ]


def _cost(command: list[str], env: dict[str, str], steps: int | None = None) -> Cost:
    """What a command takes; of `show`, it has to know its step."""
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, env={**os.environ, **env})
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        out.seek(0)
        said = out.read()
    assert os.waitstatus_to_exitcode(status) == 0, said
    assert steps is None or json.loads(said)["step"] == steps, said
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


if __name__ == "__main__":
    main()
