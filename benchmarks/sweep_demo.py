"""A sweep of the demo that nobody attends, and of which one engine is killed on the way.

    python -m benchmarks.sweep_demo

Ranks 8, 16, 32, 64 and full fine-tuning queue as one sweep. In the middle of r 32 its engine is
killed; the queue goes on by itself, and the run is resumed with `lora-tui resume`, as a user
would. Table and charts go into docs/sweep.md.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.tables import APP, REPOSITORY, own_home
from lora_tui.core import locks, queue, runs, sweep_rows, sweeps, text
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.core.sweeps import Sweep
from lora_tui.tui import sweep_page

DOCUMENT = REPOSITORY / "docs" / "sweep.md"
GRID = "lora.r=8,16,32,64"
KILLED = "r32"
PATIENCE = 3600.0


def main() -> None:
    """Sweep, kill, resume, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with own_home():
        every = arguments.steps // 4
        keys = {"max_steps": arguments.steps, "eval_steps": every, "save_steps": every}
        settings = [f"--set=training.{key}={value}" for key, value in keys.items()]
        for method in ("lora", "full"):  # so that steps like these are measured before
            lora_tui("check", "demo", *settings, f"--set=lora.method={method}")
        began = time.monotonic()
        made = lora_tui("sweep", "demo", "--grid", GRID, "--with-full", "--detach", *settings)
        sweep = sweeps.find(made["id"])
        crashed = kill_one(sweep, arguments.steps)
        wait("all to end", lambda: not any(map(queue.is_open, sweep.runs)))
        took = time.monotonic() - began
        found = verdict(sweep, made["plan"], crashed, took)
        page = document(sweep, found, arguments, settings, load)
        arguments.out.write_text(page, encoding="utf-8")
    print("\n".join(found))


def lora_tui(*arguments: str) -> Any:
    """What a command prints as JSON.

    Raises:
        SystemExit: it failed.
    """
    print("lora-tui", *arguments, file=sys.stderr, flush=True)
    done = subprocess.run(
        [*APP, *arguments, "--json"], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        sys.exit(f"lora-tui {' '.join(arguments)}: {done.returncode}\n{done.stdout}")
    return json.loads(done.stdout)


def kill_one(sweep: Sweep, steps: int) -> float:
    """Kill an engine in the middle of its run and resume it; seconds until the crash showed."""
    at = sweep.labels.index(KILLED)
    run, following = sweep.runs[at], sweep.runs[at + 1]
    wait(f"{KILLED} to be half done", lambda: headline(run).step >= steps // 2)
    os.killpg(engine_of(run), signal.SIGKILL)
    began = time.monotonic()
    wait("the crash to show", lambda: headline(run).state == "crashed")
    crashed = time.monotonic() - began
    wait("the next to start", lambda: runs.is_alive(following))  # nobody but the keeper is there
    lora_tui("resume", run.id, "--detach")
    return crashed


def engine_of(run: Run) -> int:
    """The process group of the engine at work on a run."""
    group = locks.holder(run.lock)[1]
    assert group is not None, f"{run.id} is not at work"
    return group


def wait(what: str, holds: Callable[[], bool]) -> None:
    """Look until it holds.

    Raises:
        SystemExit: it took too long.
    """
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}")
        time.sleep(0.1)


def verdict(sweep: Sweep, plan: dict[str, Any], crashed: float, took: float) -> list[str]:
    """What was to be shown, counted.

    Raises:
        SystemExit: a run did not finish.
    """
    rows = sweep_rows.read(sweep)
    finished = [row for row in rows if row.state == "finished"]
    if len(finished) < len(rows):
        sys.exit("\n".join(f"{row.label}: {row.state} {row.failure}" for row in rows))
    unknown = plan["unmeasured"]
    said = text.duration(plan["seconds"])
    beside = f" without {unknown} run that was never measured" if unknown else ""
    return [
        f"{len(finished)} of {len(rows)} runs finished in {text.duration(took)}; said before: "
        f"{said}{beside}.",
        f"The engine of {KILLED} was killed in the middle of its run: it showed as crashed after "
        f"{crashed:.1f} s, the next run began by itself, and `lora-tui resume` queued it again; it "
        f"went on from its checkpoint to step {rows[sweep.labels.index(KILLED)].step}.",
        f"Disk: {text.size(used(sweep))} in all; said before: "
        f"{text.size(plan['disk_bytes'])} at most.",
    ]


def used(sweep: Sweep) -> int:
    """Bytes in the runs' folders."""
    paths = (path for run in sweep.runs for path in run.path.rglob("*"))
    return sum(path.stat().st_size for path in paths if path.is_file())


def document(
    sweep: Sweep,
    found: list[str],
    arguments: argparse.Namespace,
    settings: list[str],
    load: float,
) -> str:
    """The page in docs."""
    page = sweep_page.page(sweep).partition("\n\n")[2]
    return "\n".join(
        [
            "# A sweep over ranks, with full fine-tuning",
            "",
            f"`python -m benchmarks.sweep_demo --steps {arguments.steps}` on "
            f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, no GPU, Python "
            f"{platform.python_version()}, load {load:.1f} before it.",
            "",
            "The embedded demo, stopped early, while ranks still differ: what it shows of them",
            "holds for this small model and its task. The time said before is what two checks",
            "found of loading, of steps and of measuring; it leaves out the killed run's second",
            "start and the demo's task scores, greedy answers before and after each run.",
            "",
            "```",
            f"lora-tui sweep demo --grid {GRID} --with-full --detach {' '.join(settings)}",
            "```",
            "",
            *(f"- {sentence}" for sentence in found),
            "",
            "As `w` on the sweep's screen writes it:",
            "",
            page,
        ]
    )


if __name__ == "__main__":
    main()
