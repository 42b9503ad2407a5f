"""How fast the app itself is, side by side with a bare Textual app in the same run.

    python -m benchmarks.app_speed [--only start,watch,long,train] [--repeats 5] [--out FILE]

Everything is measured in pseudo-terminals from outside. Absolute times hold for the machine named
above each table only; the ratios say more. Each part measured anew takes the place of its section
in docs/benchmarks.md, between its markers.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import mean, stdev

from benchmarks import standing_in
from benchmarks.tables import APP, DOCUMENT, Line, home, section
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs.control import kill, wait_until_dead
from tools.terminal import Terminal, wait_until

BARE = [
    sys.executable,
    "-c",
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Bare(App):\n    def compose(self): yield Static('ready')\nBare().run()",
]
SIZES = ((80, 24), (120, 40))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="start,watch,long,train")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long a run is watched")
    parser.add_argument("--steps", type=int, default=1_000_000, help="length of the long run")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    asked = parser.parse_args()
    parts: dict[str, Callable[[], list[Line]]] = {
        "start": lambda: starting(asked.repeats),
        "watch": lambda: watching(max(1, asked.repeats // 2), asked.seconds),
        "long": lambda: opening_a_long_run(asked.steps, max(1, asked.repeats // 2)),
        "train": lambda: training_watched(8 * asked.repeats, asked.seconds / 4),
    }
    for name in asked.only.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        how = f"--only {name} --repeats {asked.repeats} --seconds {asked.seconds:g}"
        with section(asked.out, name, f"benchmarks.app_speed {how}") as lines:
            lines.extend(parts[name]())


def starting(repeats: int) -> list[Line]:
    """First frame and memory of Home with 1,000 runs against a bare app; `--help`."""
    bare: list[float] = []
    first: list[float] = []
    listed: list[float] = []
    memory: list[float] = []
    bare_memory: list[float] = []
    helped: list[float] = []
    python: list[float] = []
    with home() as env:
        standing_in.many_runs(Path(env["LORA_TUI_HOME"]), 1000)
        for repeat in range(repeats + 1):
            with Terminal(BARE, env) as app:
                one = app.wait_for("ready") - app.began
                app.pump(1.0)
                bare_rss = app.memory
            with Terminal(APP, env) as app:
                two = app.wait_for("Presets") - app.began
                three = app.wait_for("run-0999") - app.began
                app.pump(2.0)
                rss = app.memory
            if repeat:  # the first pair only warms the caches
                bare.append(one)
                first.append(two)
                listed.append(three)
                memory.append(rss / 1e6)
                bare_memory.append(bare_rss / 1e6)
                python.append(timed([sys.executable, "-c", "pass"]))
                helped.append(timed([*APP, "--help"]))
    ratios = [two / one for one, two in zip(bare, first, strict=True)]
    return [
        Line("bare Textual app, first frame", bare, "s"),
        Line("Home with 1,000 runs, first frame", first, "s"),
        Line("… against the bare app", ratios, "times", "1.6"),
        Line("… newest runs listed", listed, "s"),
        Line("bare Textual app, memory", bare_memory, "MB"),
        Line("Home with 1,000 runs, memory", memory, "MB", "70"),
        Line("`lora-tui --help`", helped, "s"),
        Line("`python -c pass`", python, "s"),
    ]


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def open_newest(app: Terminal) -> float:
    """Open the topmost run by keys; the moment of the last one."""
    app.wait_for("Presets")
    app.wait_for(lambda text: "stand-in" in text)
    app.press("\x1b[C")
    app.pump(0.5)
    return app.press("\r")


def watching(repeats: int, seconds: float) -> list[Line]:
    """What it costs to watch a run that makes 50 steps a second."""
    lines = []
    for size in SIZES:
        shares, rates, bare = [], [], []
        for _ in range(repeats):
            with home() as env, standing_in.live_run(Path(env["LORA_TUI_HOME"]), 50, 3000):
                with Terminal(APP, env, size) as app:
                    open_newest(app)
                    app.wait_for("smoothed")
                    app.pump(2.0)
                    shares.append(share(app, seconds))
                    rates.append(written_per_second(app, seconds))
                with Terminal(BARE, env, size) as app:
                    app.wait_for("ready")
                    app.pump(2.0)
                    bare.append(share(app, 5.0))
        name = f"{size[0]}×{size[1]}"
        lines += [
            Line(f"watching 50 steps/s at {name}, processor", shares, "% of a core", "5"),
            Line(f"watching 50 steps/s at {name}, to the terminal", rates, "KB/s", "6"),
            Line(f"bare idle app at {name}, processor", bare, "% of a core"),
        ]
    return lines


def shows(app: Terminal, wanted: str) -> bool:
    """Whether a text comes within ten seconds."""
    return app.pump(10.0, lambda: wanted in app.text)


def share(app: Terminal, seconds: float) -> float:
    before, began = app.cpu_seconds, time.perf_counter()
    app.pump(seconds)
    return 100 * (app.cpu_seconds - before) / (time.perf_counter() - began)


def written_per_second(app: Terminal, seconds: float) -> float:
    before, began = app.written, time.perf_counter()
    app.pump(seconds)
    return (app.written - before) / 1000 / (time.perf_counter() - began)


def opening_a_long_run(steps: int, repeats: int) -> list[Line]:
    """A finished run of a million steps: chart, keys meanwhile, memory."""
    chart, exact, answers, memory = [], [], [], []
    with home() as env:
        size = standing_in.long_run(Path(env["LORA_TUI_HOME"]), steps)
        for _ in range(repeats):
            with Terminal(APP, env) as app:
                began = open_newest(app)
                chart.append(app.wait_for("smoothed") - began)
                curves = ("learning rate", "gradient norm", "tokens/s", "loss")
                for number in range(200):
                    if "reading" not in app.text:
                        break
                    pressed = app.press("l")
                    if shows(app, f"─ {curves[number % 4]} – "):
                        answers.append(1000 * (time.perf_counter() - pressed))
                    app.pump(0.15)
                exact.append(app.wait_for(lambda text: "reading" not in text) - began)
                memory.append(app.most_memory / 1e6)
    return [
        Line(f"finished run of {steps:,} steps ({size / 1e6:.0f} MB), chart", chart, "s", "1.5"),
        Line("… every event read", exact, "s"),
        Line("… a key answered meanwhile", answers, "ms"),
        Line("… most memory", memory, "MB", "150"),
    ]


def training_watched(pairs: int, seconds: float) -> list[Line]:
    """One long run of the demo, watched and left alone in turn: real tokens a second of each.

    One run, because two runs of the same length differ by more than what is looked for. Left alone
    means that the app is halted; what it wrote is read but not drawn, as on the far end of a line.
    """
    alone, watched = [], []
    with home() as env, training(env) as run, Terminal(APP, env) as app:
        open_newest(app)
        app.wait_for("smoothed")
        for _ in range(pairs):
            app.drain(1.0)
            watched.append(standing_in.pace(run, partial(app.drain, seconds)))
            with app.halted():
                alone.append(standing_in.pace(run, partial(time.sleep, seconds)))
    slower = [100 * (a / b - 1) for a, b in zip(alone, watched, strict=True)]
    return [
        Line("the demo training alone", alone, "tokens/s"),
        Line("the demo training watched", watched, "tokens/s"),
        Line("… slower by", slower, "%", "1"),
        Line("… slower by, the mean", [mean(slower)], "%"),
        Line("… its standard error", [stdev(slower) / len(slower) ** 0.5], "%"),
    ]


@contextmanager
def training(env: dict[str, str]) -> Iterator[Run]:
    """A run of the demo that does nothing but steps, for as long as it is wanted."""
    never = 1_000_000
    asked = [f"training.{name}_steps={never}" for name in ("max", "eval", "save")]
    settings = [word for pair in asked for word in ("--set", pair)]
    command = [*APP, "train", "demo", "--name", "stand-in", "--detach", *settings]
    done = subprocess.run(
        command, env={**os.environ, **env}, check=True, capture_output=True, text=True
    )
    run = Run(Path(env["LORA_TUI_HOME"]) / "runs" / done.stdout.split()[-1])
    try:
        wait_until(lambda: headline(run).step > 100, 300, "100 steps")
        yield run
    finally:
        kill(run)
        wait_until_dead(run, 10)


if __name__ == "__main__":
    main()
