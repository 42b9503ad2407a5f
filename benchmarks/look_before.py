"""How long it takes to look before a run: the data report on many rows, and the check's real steps.

    python -m benchmarks.look_before ROWS.jsonl [--only data,check] [--rows 100000] [--out FILE]

ROWS.jsonl holds question/answer rows, repeated up to as many as asked for. The app is measured in a
pseudo-terminal, from outside. Figures go into docs/benchmarks.md, between the part's markers.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.real_size import build_model
from benchmarks.tables import APP, DOCUMENT, Line, home, own_home, section
from lora_tui.core import preset_files
from tools.terminal import Terminal

LONGEST = 1024
"""Tokens of the rows that the check's steps are taken on: the default of model.max_seq_length."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("source", type=Path, help="question/answer JSON Lines")
    parser.add_argument("--only", default="data,check")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    asked = parser.parse_args()
    parts: dict[str, Callable[[Path], list[Line]]] = {
        "data": lambda folder: reporting(folder, asked.source, asked.rows, asked.repeats),
        "check": lambda folder: checking(folder, asked.source, asked.repeats),
    }
    for name in asked.only.split(","):
        print(f"{name} ...", file=sys.stderr, flush=True)
        command = f"benchmarks.look_before {asked.source.name} --only {name} --rows {asked.rows}"
        command += f" --repeats {asked.repeats}"
        with section(asked.out, name, command) as lines, own_home() as folder:
            lines.extend(parts[name](folder))


def reporting(folder: Path, source: Path, count: int, repeats: int) -> list[Line]:
    """The whole report by the command line, and what the screen shows meanwhile."""
    rows = folder / "rows.jsonl"
    lines = source.read_text("utf-8").splitlines()
    rows.write_text("\n".join(lines[at % len(lines)] for at in range(count)), "utf-8")
    whole: list[float] = []
    memory: list[float] = []
    first: list[float] = []
    for _ in range(repeats):
        with home() as env:
            seconds, found = told(["data", "demo", "--set", f"data.source={rows}", "--json"], env)
            whole.append(seconds)
            memory.append(found["peak_memory_bytes"] / 1e6)
        with home() as env:
            look(env, rows, first)
    return [
        Line(f"report on {count:,} rows, all of it", whole, "s", "30"),
        Line("… most memory", memory, "MB", "600"),
        Line("screen: first page", first, "s", "2"),
    ]


def look(env: dict[str, str], rows: Path, first: list[float]) -> None:
    """Open the Data screen on the rows, until the first of them stand there."""
    preset = preset_files.with_settings(preset_files.find("demo"), [f"data.source={rows}"])
    path = Path(env["LORA_TUI_HOME"]) / "presets" / "many-rows.toml"
    path.parent.mkdir(parents=True)
    path.write_text(preset_files.dumps(preset))
    word = json.loads(rows.read_text("utf-8").partition("\n")[0])["question"].split()[0]
    with Terminal(APP, env) as app:
        app.wait_for("many-rows")
        app.press("/many-rows\r")
        app.pump(1.0)
        began = app.press("d")
        first.append(app.wait_for(word) - began)


def checking(folder: Path, source: Path, repeats: int) -> list[Line]:
    """The check of a model of SmolLM2-135M's shape, on rows as long as they may be."""
    build_model(folder / "model", source)
    text = " ".join(json.loads(line)["answer"] for line in source.read_text("utf-8").splitlines())
    words = text.split()
    rows = folder / "rows.jsonl"
    sizes = [LONGEST if at % 2 else LONGEST // 4 for at in range(64)]  # words: a token or more
    answers = [" ".join(words[at : at + size]) for at, size in enumerate(sizes)]
    rows.write_text("\n".join(json.dumps({"question": "Go on.", "answer": one}) for one in answers))
    lines = []
    for backend in ("unsloth", "transformers"):
        whole, steps, memory = [], [], []
        for _ in range(repeats):
            with home() as env:
                settings = (
                    f"model.name_or_path={folder / 'model'}",
                    f"data.source={rows}",
                    f"model.max_seq_length={LONGEST}",
                    "training.per_device_train_batch_size=2",
                    "training.gradient_accumulation_steps=4",
                    f"engine.backend={backend}",
                    "engine.device=cpu",
                )
                sets = [part for setting in settings for part in ("--set", setting)]
                seconds, found = told(["check", "smollm2-lora", *sets, "--json"], env)
                whole.append(seconds)
                steps.append(found["trial_seconds"])
                memory.append(found["trial_peak_memory_bytes"] / 1e9)
        lines += [
            Line(f"check by {backend}, batch 2 x {LONGEST} tokens: real steps", steps, "s", "60"),
            Line("… all of it", whole, "s"),
            Line("… most memory", memory, "GB"),
        ]
    return lines


def told(arguments: list[str], env: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """How long a verb takes, and its document."""
    began = time.monotonic()
    done = subprocess.run(
        [*APP, *arguments], env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    seconds = time.monotonic() - began
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return seconds, json.loads(done.stdout)


if __name__ == "__main__":
    main()
