"""The demo by keys alone: train, merge, export three types, each proven; then what the file says.

    python -m benchmarks.export_demo

Presses every key in a real terminal in a home of its own, then has llama.cpp's server answer all
held-out questions from the exported q8_0 file, and scores the answers by the demo's task.
"""

import argparse
import json
from pathlib import Path

from benchmarks.tables import DOCUMENT, Line, own_home, section
from lora_tui.core import exporting, locations, makings, merging, runs, summary
from lora_tui.core.exporting import Exporting
from lora_tui.core.runs import Run
from lora_tui.core.scoring import load_task, score
from tools.terminal import APP, Terminal

ASKED, LONGEST = 120, 64
STEPS = (
    ("t", "Name of the run", ""),
    ("\r", "✓ finished", "train"),
    ("q", "Presets", ""),
    ("\t", "m merge", ""),
    ("m", "nothing is in the way", ""),
    ("t", "proof ✓ PASS", "merge and its proof"),
    ("q", "Presets", ""),
    ("e", "3 ticked", ""),
    ("x", "✓ finished · 3 PASS", "export of three types and their proofs"),
)
"""Keys, what the screen says once they did their work, and what that is called.

A proof is there before its job is over; the last line tells both, and `e` asks before it competes.
"""

LONGEST_WAIT = 300.0


def main() -> None:
    """Train, merge and export by keys, ask the file, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    with section(arguments.out, "export-demo", "benchmarks.export_demo") as lines, own_home():
        lines.extend([Line(name, [took], "s") for name, took in by_keys().items()])
        (run,) = runs.list_runs()
        lines.extend(proofs(run))
        lines.extend(manner(run))


def by_keys() -> dict[str, float]:
    """Press what a user would; how long each part took."""
    took = {}
    with Terminal(APP, size=(100, 30)) as terminal:
        terminal.wait_for("t train", 30)
        for keys, shown, name in STEPS:
            began = terminal.press(keys)
            seconds = terminal.wait_for(shown, LONGEST_WAIT) - began
            if name:
                took[name] = seconds
    return took


def proofs(run: Run) -> list[Line]:
    """The figures of the merge's proof and of each file's."""
    merge, export = (makings.latest(kind, [run.id]) for kind in ("merge", "export"))
    assert merge is not None and export is not None
    proof = merging.read(merge).proof
    assert proof is not None and proof.passed
    lines = [
        Line(f"merge: {name.replace('_', ' ')}", [proof.figures[name]], "")
        for name in ("max_logit_difference", "mean_logit_difference", "greedy_equal_share")
    ]
    for one in exporting.read(export).files:
        assert one.proof is not None and one.proof.passed
        for name in ("kl", "top1"):
            limit = f"{one.proof.limit[name]:g}" if name in one.proof.limit else ""
            lines.append(Line(f"{one.quant}: {name}", [one.proof.figures[name]], "", limit))
    return lines


def manner(run: Run) -> list[Line]:
    """How the q8_0 file keeps to the manner, asked through llama.cpp's server, beside the run."""
    import xllamacpp

    found: Exporting = exporting.read(makings.latest("export", [run.id]) or run)
    settings = xllamacpp.CommonParams()
    settings.model.path = next(one.path for one in found.files if one.quant == "q8_0")
    settings.n_ctx, settings.n_parallel, settings.warmup = 512, 1, False
    server = xllamacpp.Server(settings)
    data = locations.assets_folder() / "demo-json"
    rows = [json.loads(line) for line in (data / "test.jsonl").read_text("utf-8").splitlines()]
    texts = []
    for row in rows[:ASKED]:
        message = {"role": "user", "content": row["question"]}
        asked = {"messages": [message], "temperature": 0, "max_tokens": LONGEST}
        texts.append(server.handle_chat_completions(asked)["choices"][0]["message"]["content"])
    said = score(load_task(data), texts, rows[:ASKED])
    scored = summary.show(run)["scores"] or {}
    own = {name: ends["last"] for name, ends in scored.items()}
    return [
        Line(f"{name.replace('_', ' ')}: {who}", [100 * scores.get(name, 0)], "%")
        for name in ("manner", "manner_and_fact")
        for who, scores in (("q8_0 through llama.cpp", said), ("the run itself", own))
    ]


if __name__ == "__main__":
    main()
