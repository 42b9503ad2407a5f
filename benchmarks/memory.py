"""Set the memory estimate against measured runs, on a model of SmolLM2-135M's exact shape.

    python benchmarks/memory.py ../shared/data/gsm8k/train.jsonl

Each run is a whole engine process of three steps on rows that are all cut to one length, with
random weights and no network. `--only full-unsloth` picks runs by a part of their name;
`--keep FOLDER` keeps models, runs and measurements, and measures only what is not there yet.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

from benchmarks.real_size import build_model, machine, texts
from lora_tui.core import preset_files, runs
from lora_tui.core.presets import Preset

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs" / "memory.md"
STEPS = 3
ROWS = 16
ASKED = 0.5
"""The share of a row that is the question, and so not trained."""

TEMPLATE = 30
"""About as many tokens as the chat template adds."""

SHORTER = 8
"""Rows are up to this many tokens shorter than the wanted length, so that batches are padded."""


@dataclass(frozen=True)
class Case:
    """One run to measure."""

    method: str
    backend: str
    batch: int
    length: int
    model: str = "smollm2"
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What `--only` picks by, and the key of its measurement."""
        more = [value if value is not True else key.partition(".")[2] for key, value in self.settings.items()]
        shape = [self.model] if self.model != "smollm2" else []
        return "-".join([self.method, self.backend, f"{self.batch}x{self.length}", *shape, *map(str, more)])

    def preset(self, models: Path, rows: Path) -> Preset:
        """The preset of the run."""
        return preset_files.changed(
            preset_files.find("smollm2-lora"),
            {
                "model.name_or_path": str(models / self.model),
                "model.max_seq_length": self.length,
                "data.source": str(rows),
                "data.eval_fraction": 0.0,
                "training.per_device_train_batch_size": self.batch,
                "training.gradient_accumulation_steps": 1,
                "training.max_steps": STEPS,
                "training.eval_steps": 0,
                "training.save_steps": 0,
                "lora.method": self.method,
                "engine.backend": self.backend,
                "engine.device": "cpu",
                **self.settings,
            },
        )


BACKENDS = ("transformers", "unsloth")
GRID = [
    Case(method, backend, batch, length)
    for method, backend, length, batch in product(("lora", "full"), BACKENDS, (256, 512), (1, 2, 4))
]
CHECKS = [
    *(Case("lora", backend, 2, 512, "wide") for backend in BACKENDS),
    *(Case("full", backend, 2, 512, "wide") for backend in BACKENDS),
    *(Case("lora", backend, 4, 512, settings={"training.gradient_checkpointing": True}) for backend in BACKENDS),
    *(Case("full", backend, 4, 256, settings={"training.optim": "adafactor"}) for backend in BACKENDS),
    *(Case("full", backend, 2, 256, settings={"training.optim": "sgd"}) for backend in BACKENDS),
    *(Case("lora", backend, 2, 512, settings={"lora.use_dora": True}) for backend in BACKENDS),
    *(Case("lora", backend, 2, 512, settings={"lora.lora_dropout": 0.0}) for backend in BACKENDS),
    *(Case("full", backend, 2, 256, settings={"training.gradient_accumulation_steps": 4}) for backend in BACKENDS),
    *(Case("lora", backend, 2, 1024) for backend in BACKENDS),
    *(Case("lora", backend, 2, 512, settings={"model.dtype": "float32"}) for backend in BACKENDS),
]


def build_models(folder: Path, rows: Path) -> None:
    """SmolLM2-135M's shape, and a wider, shallower one with a smaller vocabulary and its own head."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    build_model(folder / "smollm2", rows)
    tokenizer = AutoTokenizer.from_pretrained(folder / "smollm2")
    tokenizer.train_new_from_iterator(texts(rows), 32_000).save_pretrained(folder / "wide")
    config = LlamaConfig.from_pretrained(
        folder / "smollm2",
        vocab_size=32_000,
        hidden_size=1024,
        intermediate_size=2816,
        num_hidden_layers=12,
        num_attention_heads=16,
        num_key_value_heads=4,
        head_dim=64,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder / "wide")


def write_rows(model: Path, length: int, source: Path, path: Path) -> None:
    """Question/answer rows of nearly `length` tokens: a batch of them is padded, as real ones are."""
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
    rows = folder / f"{case.model}-{case.length}.jsonl"
    if not rows.exists():
        write_rows(folder / case.model, case.length, source, rows)
    run = runs.create(case.preset(folder, rows), name=case.name)
    with run.log.open("ab") as log:
        done = subprocess.run(
            [sys.executable, "-m", "lora_tui.engine", "train", str(run.path)],
            cwd=run.path,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            check=False,
        )
    if done.returncode:
        raise SystemExit(run.log.read_text("utf-8")[-4000:])
    events = [json.loads(line) for line in run.events.read_text("utf-8").splitlines()]
    last = {event["kind"]: event for event in events}
    step = last["step"]
    wanted = STEPS * case.batch * case.length
    assert 0.95 * wanted < step["tokens"] <= wanted, "the rows have another length"
    return {
        "peak": last["finished"]["peak_memory_bytes"],
        "at_steps": [event["memory_bytes"] for event in events if event["kind"] == "step"],
        "trained": round(step["trained_tokens"] / (STEPS * case.batch)),
        "tokens": step["tokens"],
        "longest": last["data"]["longest"],
        "dtype": last["model"]["dtype"],
        "versions": last["started"]["versions"],
    }


def measurements(cases: list[Case], folder: Path, source: Path) -> Iterator[dict[str, Any]]:
    """Each case's measurement, from the folder where it is there already."""
    kept = folder / "measured.json"
    known = json.loads(kept.read_text("utf-8")) if kept.exists() else {}
    for case in cases:
        if case.name not in known:
            print(f"{case.name} ...", file=sys.stderr, flush=True)
            known[case.name] = measure(case, folder, source)
            kept.write_text(json.dumps(known, indent=1), encoding="utf-8")
            print(known[case.name]["peak"] / 1e9, file=sys.stderr, flush=True)
        yield known[case.name]


def main() -> None:
    """Measure, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help="question/answer JSON Lines")
    parser.add_argument("--only", default="", help="measure the runs with this in their name")
    parser.add_argument("--keep", type=Path, help="keep everything here")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (arguments.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["LORA_TUI_HOME"] = str(folder / "home")
        if not (folder / "wide" / "config.json").exists():
            build_models(folder, arguments.rows)
        cases = [case for case in (*GRID, *CHECKS) if arguments.only in case.name]
        for case, result in zip(cases, measurements(cases, folder, arguments.rows)):
            print(case.name, result["peak"] / 1e9)


if __name__ == "__main__":
    main()
