"""Set the memory estimate against measured runs, on a model of SmolLM2-135M's exact shape.

    python -m benchmarks.memory ../shared/data/gsm8k/train.jsonl

Each run is a whole engine process of three steps on rows that are all cut to nearly one length,
with random weights and no network. `--only full-unsloth` measures the runs with that in their name
and prints them; `--keep FOLDER` keeps models and measurements, and measures only what is not
there yet.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.engines import ended, start
from benchmarks.memory_cases import CHECKS, GRID, TINY, WIDE, Case
from benchmarks.memory_page import Result, deviation, document, table
from benchmarks.real_size import build_model, texts
from benchmarks.tables import REPOSITORY, arguments_of
from lora_tui.core import runs
from lora_tui.core.estimate import Memory, estimate, read_shape
from lora_tui.core.parameters import read_base
from lora_tui.core.platforms import Platform, cpu_has_bfloat16

DOCUMENT = REPOSITORY / "docs" / "memory.md"
ROWS = 16
ASKED = 0.5
"""The share of a row that is the question, and so not trained."""

TEMPLATE = 30
"""About as many tokens as the chat template adds."""

SHORTER = 8
"""Rows are up to this many tokens shorter than the wanted length: real ones differ too."""


def build_models(folder: Path, rows: Path) -> None:
    """SmolLM2-135M's shape; a wider, shallower one with a smaller vocabulary; and a tiny one."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    build_model(folder / "smollm2", rows)
    tokenizer = AutoTokenizer.from_pretrained(folder / "smollm2")
    tokenizer.save_pretrained(folder / "tiny")
    smaller = tokenizer.train_new_from_iterator(texts(rows), WIDE["vocab_size"])
    smaller.save_pretrained(folder / "wide")
    config = json.loads((folder / "smollm2" / "config.json").read_text("utf-8"))
    config.pop("layer_types", None)
    for name, shape in (("wide", WIDE), ("tiny", TINY)):
        model = LlamaForCausalLM(LlamaConfig(**{**config, **shape}))
        model.to(torch.bfloat16).save_pretrained(folder / name)


def write_rows(model: Path, length: int, source: Path, path: Path) -> None:
    """Question/answer rows of nearly `length` tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    stream = tokenizer(" ".join(islice(texts(source), ROWS * length // 32)))["input_ids"]
    asked, step = int(ASKED * length) - TEMPLATE, length * 5 // 4
    with path.open("w", encoding="utf-8") as file:
        for number in range(ROWS):
            ids = stream[number * step : (number + 1) * step]
            question = tokenizer.decode(ids[:asked])
            end = asked + length  # the run cuts every row at `length`; some end a little earlier
            for _ in range(4):
                messages = [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": tokenizer.decode(ids[asked:end])},
                ]
                text = tokenizer.apply_chat_template(messages, tokenize=False)
                end -= len(tokenizer(text)["input_ids"]) - (length - number % SHORTER)
            file.write(json.dumps({"question": question, "answer": messages[1]["content"]}) + "\n")


def measure(case: Case, folder: Path, source: Path) -> dict[str, Any]:
    """One run; its peak memory and what of its rows is trained."""
    rows = source.absolute() if case.as_they_are else folder / f"{case.model}-{case.length}.jsonl"
    if not rows.exists():
        write_rows(folder / case.model, case.length, source, rows)
    preset = case.preset(folder, rows)
    run = runs.create(preset, name=case.name)
    last = {event["kind"]: event for event in ended(start(run), run)}
    shutil.rmtree(run.path)  # half a gigabyte each
    step = last["step"]
    longest = last["data"]["longest"]
    count = step["step"] * case.batch * preset.training.gradient_accumulation_steps
    if not case.as_they_are:
        assert 0.95 * count * case.length < step["tokens"] <= count * case.length, "odd lengths"
    return {
        "peak": last["finished"]["peak_memory_bytes"],
        "trained": round(step["trained_tokens"] / step["tokens"] * longest),
        "longest": longest,
        "versions": last["started"]["versions"],
    }


def measurements(only: str, folder: Path, source: Path) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Each case's measurement, from the folder where it is there already."""
    kept = folder / "measured.json"
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for case in (one for one in (*GRID, *CHECKS) if only in one.name):
        if case.name not in known:
            print(f"{case.name} ...", file=sys.stderr, flush=True)
            known[case.name] = measure(case, folder, source)
            kept.write_text(json.dumps(known, indent=1), encoding="utf-8")
            print(known[case.name]["peak"] / 1e9, file=sys.stderr, flush=True)
        yield case, known[case.name]


def main() -> None:
    """Measure, and write the document."""
    parser = arguments_of(__doc__, DOCUMENT)
    parser.add_argument("--only", default="", help="the runs with this in their name")
    parser.add_argument("--keep", type=Path, help="keep models and measurements here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["LORA_TUI_HOME"] = str(folder / "home")
        if not (folder / "tiny" / "config.json").exists():
            build_models(folder, arguments.rows)
        results = [
            Result(case, measured, estimated(case, measured, folder))
            for case, measured in measurements(arguments.only, folder, arguments.rows)
        ]
    if arguments.only:
        print(table(results), deviation(results), sep="\n\n")
    else:
        arguments.out.write_text(document(results), encoding="utf-8")


def estimated(case: Case, measured: Mapping[str, Any], folder: Path) -> Memory:
    """What the program says before such a run."""
    preset = case.preset(folder, folder)
    base = read_base(preset.model.name_or_path)
    return estimate(
        preset,
        base,
        read_shape(base.path),
        Platform(case.backend, "cpu", bfloat16=cpu_has_bfloat16()),
        longest=measured["longest"],
        trained=measured["trained"],
    )


if __name__ == "__main__":
    main()
