"""LoRA r 16 against full fine-tuning on a model of SmolLM2-135M's shape, as the screen prints it.

    python -m benchmarks.lora_against_full ../shared/data/gsm8k/train.jsonl

Both are trained with the shipped presets, compared by the program itself, and the table is taken
from its Compare screen. The weights are random (there is no Hub where this runs): cost is real, and
the losses say how fast a model that knows nothing learns, not how good an adapter is.
"""

import argparse
import asyncio
import os
import platform
import shutil
import sys
import threading
import time
from pathlib import Path

from benchmarks.real_size import with_model
from benchmarks.tables import REPOSITORY, arguments_of
from lora_tui.core import comparison, members, preset_files
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import compare, launch
from lora_tui.jobs.follow import follow

DOCUMENT = REPOSITORY / "docs" / "lora-against-full.md"
PRESETS = {"r16": "smollm2-lora", "full": "smollm2-full"}
MODEL = "SmolLM2-135M-shape"
SIZE = (120, 44)


def main() -> None:
    """Train both, compare them, and write the document."""
    parser = arguments_of(__doc__, DOCUMENT)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with with_model(arguments.rows, MODEL) as folder:
        arguments.rows = Path(shutil.copy(arguments.rows, folder / "gsm8k.jsonl"))
        runs = [train(name, preset, folder / MODEL, arguments) for name, preset in PRESETS.items()]
        asked = compare.Asked(number=4, max_new_tokens=32)
        found = compare.start([members.of_run(run) for run in reversed(runs)], asked)
        wait(found)
        shown = without(f"{folder}/", asyncio.run(screen_text(found)))
        sentences = notes(found)
    arguments.out.write_text(document(shown, sentences, arguments, load), encoding="utf-8")


def train(name: str, preset: str, model: Path, arguments: argparse.Namespace) -> Run:
    """One run of a shipped preset, on the model and the rows given."""
    print(f"training {name} ...", file=sys.stderr, flush=True)
    settings = [
        f"model.name_or_path={model}",
        f"data.source={arguments.rows.absolute()}",
        f"training.max_steps={arguments.steps}",
        "training.eval_steps=0",
        "training.save_steps=0",
        "engine.device=cpu",
    ]
    chosen = preset_files.with_settings(preset_files.find(preset), settings)
    run = launch.start(chosen, name=name)
    wait(run)
    return run


def wait(run: Run) -> None:
    """Until its engine has ended.

    Raises:
        SystemExit: it did not finish.
    """
    for _ in follow(run, threading.Event()):
        pass
    line = headline(run)
    if line.state != "finished":
        sys.exit(f"{run.id}: {line.state} {line.failure}\n{run.log.read_text('utf-8')[-2000:]}")


async def screen_text(run: Run) -> str:
    """What the Compare screen shows of a comparison, without its colours."""
    from lora_tui.core import comparisons
    from lora_tui.tui.app import LoraTuiApp
    from lora_tui.tui.screens.compare import CompareScreen

    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await app.push_screen(CompareScreen(comparisons.members_of(run), run))
        for _ in range(20):
            await pilot.pause(0.1)
        lines = [
            "".join(segment.text for segment in strip).rstrip()
            for strip in app.screen._compositor.render_strips()
        ]
    return "\n".join(lines).strip("\n")


def without(folder: str, shown: str) -> str:
    """The text without a folder that is gone by now, its frame as straight as before."""
    lines = []
    for line in shown.splitlines():
        short = line.replace(folder, "")
        if short.endswith("│"):
            short = f"{short[:-1]}{' ' * (len(line) - len(short))}│"
        lines.append(short)
    return "\n".join(lines)


def notes(run: Run) -> list[str]:
    """What the comparison says in sentences."""
    from lora_tui.core import comparison_table

    found = comparison.read(run)
    return [
        *comparison_table.summary(found),
        *(
            f"{column.member.name}: {note}"
            for column in found.columns
            for note in comparison_table.notes(found, column)
        ),
    ]


def document(shown: str, sentences: list[str], arguments: argparse.Namespace, load: float) -> str:
    """The page in docs."""
    return (
        "\n".join(
            [
                "# LoRA r 16 against full fine-tuning",
                "",
                f"`python -m benchmarks.lora_against_full ROWS.jsonl --steps {arguments.steps}` on "
                f"{time.strftime('%Y-%m-%d')}: {os.cpu_count()} cores, no GPU, Python "
                f"{platform.python_version()}, load {load:.1f} before it.",
                "",
                "SmolLM2-135M's exact shape with random weights, GSM8K's rows, the shipped",
                "presets `smollm2-lora` and `smollm2-full`, each for as many steps. Cost is what a",
                "real model would cost. The losses show how fast a model that knows nothing",
                "learns; they say nothing of how good an adapter of a trained model is.",
                "",
                "The Compare screen, as it stood at the end:",
                "",
                "```text",
                shown,
                "```",
                "",
                *(f"- {sentence}" for sentence in sentences),
            ]
        )
        + "\n"
    )


if __name__ == "__main__":
    main()
