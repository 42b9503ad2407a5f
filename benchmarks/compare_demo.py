"""The demo's runs compared by keys alone, and every figure computed anew by plain PEFT.

    python -m benchmarks.compare_demo

Trains full fine-tuning, r 4, r 8, r 32 and the other manner on the embedded demo, marks them on
Home, compares them in a real terminal, and holds the result against plain transformers and PEFT.
"""

import argparse
import json
import threading
from pathlib import Path

from benchmarks.tables import DOCUMENT, Line, own_home, section
from lora_tui.core import comparison, locations, preset_files, runs
from lora_tui.core.comparison import Comparison
from lora_tui.core.runs import Run
from lora_tui.jobs import launch
from lora_tui.jobs.follow import follow
from tools.terminal import APP, Terminal

RUNS = {
    "pirate": ("data.source=demo-pirate",),
    "full": ("lora.method=full", "training.learning_rate=3e-4"),
    "r32": ("lora.r=32",),
    "r8": ("lora.r=8",),
    "r4": ("lora.r=4",),
}
ASKED, LONGEST = 8, 64  # what the app asks for by itself


def main() -> None:
    """Train, compare by keys, compute anew, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    command = f"benchmarks.compare_demo --steps {arguments.steps}"
    with section(arguments.out, "compare", command) as lines, own_home():
        for name, settings in RUNS.items():
            print(f"training {name} ...", flush=True)
            train(name, (*settings, f"training.max_steps={arguments.steps}"))
        found = by_keys()
        lines.extend(held_against_plain(found))


def train(name: str, settings: tuple[str, ...]) -> None:
    """One run of the demo, to its end."""
    run = launch.start(preset_files.with_settings(preset_files.find("demo"), settings), name=name)
    wait(run)


def wait(run: Run) -> None:
    """Until its engine has ended."""
    for _ in follow(run, threading.Event()):
        pass


def by_keys() -> Comparison:
    """Mark every run and compare them, as a user would."""
    with Terminal(APP, size=(120, 40)) as terminal:
        terminal.wait_for("pirate", 30)
        terminal.press("\t")
        for _ in RUNS:
            terminal.press(" ")
        terminal.wait_for(f"{len(RUNS)} marked", 30)
        terminal.press("c")
        terminal.wait_for("kept in", 600)
    (run,) = runs.list_runs(locations.comparisons_folder())
    return comparison.read(run)


def held_against_plain(found: Comparison) -> list[Line]:
    """The largest differences to what plain transformers and PEFT compute."""
    from transformers import AutoTokenizer

    from tests.adapters import DEMO_MODEL
    from tests.engine import plain

    path = DEMO_MODEL.parent / "demo-json" / "test.jsonl"
    if not str(found.held_out["source"]).endswith("demo"):
        path = DEMO_MODEL.parent / "demo-pirate" / "test.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    tokenizer = AutoTokenizer.from_pretrained(DEMO_MODEL)
    base = plain.load()
    loss, kl, equal, lines = [], [], [], []
    for column in found.columns:
        member = column.member
        own = base if column.is_base else plain.load(member.path, member.method)
        rows = rows[: int(found.held_out["rows"])]
        known = plain.measure(own, base, tokenizer, rows, asked=ASKED, most=LONGEST)
        loss.append(abs(column.figures["held_out_loss"] - known.loss))
        said = [prompt.outputs[member.id] for prompt in found.prompts]
        equal.append(100 * float(said == known.texts))
        if not column.is_base:
            kl.append(abs(column.figures["kl_from_base"] - known.kl))
        lines.append(Line(f"{member.name}: held-out loss", [column.figures["held_out_loss"]], ""))
    return [
        *lines,
        Line("held-out loss, difference to plain PEFT", loss, "", "1e-4"),
        Line("KL from the base, difference to plain PEFT", kl, "", "1e-4"),
        Line("members whose greedy answers are all equal", equal, "%", "100 %"),
    ]


if __name__ == "__main__":
    main()
