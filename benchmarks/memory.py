"""Set the memory estimate against measured runs, on a model of SmolLM2-135M's exact shape.

    python benchmarks/memory.py ../shared/data/gsm8k/train.jsonl

Each run is a whole engine process of three steps on rows that are all cut to nearly one length,
with random weights and no network. `--only full-unsloth` measures the runs with that in their name
and prints them; `--keep FOLDER` keeps models, runs and measurements, and measures only what is not
there yet.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

from benchmarks.real_size import build_model, machine, texts
from lora_tui.core import preset_files, runs
from lora_tui.core.estimate import Memory, estimate, read_shape
from lora_tui.core.parameters import read_base
from lora_tui.core.platforms import Platform, cpu_has_bfloat16
from lora_tui.core.presets import Preset

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs" / "memory.md"
BACKENDS = ("transformers", "unsloth")
STEPS = 3
ROWS = 16
ASKED = 0.5
"""The share of a row that is the question, and so not trained."""

TEMPLATE = 30
"""About as many tokens as the chat template adds."""

SHORTER = 8
"""Rows are up to this many tokens shorter than the wanted length, so that batches are padded."""

WIDE = {
    "vocab_size": 32_000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "tie_word_embeddings": False,
}
TINY = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
}


CHECKED = """The formulas come from what autograd keeps and from the sources of the libraries. \
Measured are the
program itself (on `tiny`, where little else is left), what oneDNN keeps of a product, and the holes
that freed tensors leave in a CPU's heap (on the runs above; half of that with checkpointing, on
those below). `wide` has {num_hidden_layers} layers, hidden size {hidden_size}, an MLP of \
{intermediate_size}, {num_attention_heads} heads,
{num_key_value_heads} key heads, a vocabulary of {vocab_size:,} and a head of its own."""


@dataclass(frozen=True)
class Case:
    """One run to measure."""

    method: str
    backend: str
    batch: int
    length: int
    model: str = "smollm2"
    settings: Mapping[str, Any] = field(default_factory=dict)
    as_they_are: bool = False

    @property
    def also(self) -> str:
        """What is unlike the other runs."""
        settings = [f"{key.partition('.')[2]} {value}" for key, value in self.settings.items()]
        rows = ["rows as they are"] * self.as_they_are
        return ", ".join([self.model] * (self.model != "smollm2") + settings + rows).lower()

    @property
    def name(self) -> str:
        """What `--only` picks by, and the key of its measurement."""
        name = f"{self.method}-{self.backend}-{self.batch}x{self.length}"
        return f"{name}, {self.also}" if self.also else name

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


@dataclass(frozen=True)
class Result:
    """A run, what it took, and what was said of it before."""

    case: Case
    measured: Mapping[str, Any]
    memory: Memory

    @property
    def ratio(self) -> float:
        """The estimate over the measured peak."""
        return self.memory.total / float(self.measured["peak"])


GRID = [
    Case(method, backend, batch, length)
    for method, backend, length, batch in product(("lora", "full"), BACKENDS, (256, 512), (1, 2, 4))
]
CHECKS = [
    *(
        Case(method, backend, 1, 128, "tiny")
        for method, backend in product(("lora", "full"), BACKENDS)
    ),
    *(
        Case(method, backend, 2, 512, "wide")
        for method, backend in product(("lora", "full"), BACKENDS)
    ),
    *(
        Case(method, backend, batch, length, settings=settings)
        for method, batch, length, settings in (
            ("lora", 4, 512, {"training.gradient_checkpointing": True}),
            ("lora", 2, 512, {"lora.use_dora": True}),
            ("lora", 2, 512, {"lora.lora_dropout": 0.0}),
            ("lora", 2, 512, {"lora.r": 64, "lora.target_modules": ["q_proj", "v_proj"]}),
            ("lora", 2, 512, {"model.dtype": "float32"}),
            ("lora", 2, 1024, {}),
            ("lora", 4, 512, {"data.eval_fraction": 0.25}),
            ("full", 4, 256, {"training.optim": "adafactor"}),
            ("full", 2, 256, {"training.optim": "sgd"}),
            ("full", 2, 256, {"training.gradient_accumulation_steps": 4}),
            ("full", 4, 512, {"training.gradient_checkpointing": True}),
        )
        for backend in BACKENDS
    ),
    *(
        Case(
            "lora",
            backend,
            2,
            1024,
            settings={"training.gradient_accumulation_steps": 4, "training.max_steps": 10},
            as_they_are=True,
        )
        for backend in BACKENDS
    ),
]


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
    """Question/answer rows of nearly `length` tokens: batches of them are padded, as real ones."""
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path, help="question/answer JSON Lines")
    parser.add_argument("--only", default="", help="the runs with this in their name")
    parser.add_argument("--keep", type=Path, help="keep models, runs and measurements here")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
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


def document(results: Sequence[Result]) -> str:
    """The page in docs/."""
    grid = [result for result in results if result.case in GRID]
    checks = [result for result in results if result.case in CHECKS]
    versions = results[0].measured["versions"]
    return f"""# Memory: the estimate against measured runs

Before a run, `lora_tui/core/estimate.py` says how much memory it will take at the most, by part.
Here that is set against what runs did take: the peak of the engine process (its `VmHWM`) over
{STEPS} steps, without a GPU. The model has SmolLM2-135M's exact shape and random weights. The run
is that of `smollm2-lora` (rank 16 on the seven projections, dropout 0.05, AdamW), with one batch a
step and nothing held out unless the table says otherwise. All rows have nearly the length named,
and about half of it is trained. Sizes are in GB (10⁹ bytes).

{table(grid)}

{deviation(grid)}

## Other shapes and settings

{CHECKED.format(**WIDE)}

{table(checks)}

{deviation(checks)}

"Rows as they are" are those of the file, of very different lengths; the estimate supposes that the
longest come together.

On a GPU the estimate counts what torch allocates, by the same formulas with the widths of the
kernels used there. Against the peaks of checks on one NVIDIA H200 (rows of 473 tokens, 357 of them
trained) it was: transformers, LoRA with 1, 2, 4 and 8 rows, 1.04, 1.01, 1.02 and 0.98 times the
peak; in 4 bits 1.03, DoRA 0.98, full 0.97, 8 rows with checkpointing 1.27; Unsloth, LoRA with 1, 2,
4 and 8 rows, 1.02, 1.06, 1.10 and 1.11.

Machine: {machine()}.
Versions: {", ".join(f"{name} {number}" for name, number in versions.items())}.
Command: `python benchmarks/memory.py ../shared/data/gsm8k/train.jsonl`
"""


def table(results: Sequence[Result]) -> str:
    """One line a run."""
    parts = list(results[0].memory.parts)
    head = ["method", "backend", "batch × length", "also", *parts, "estimate", "measured", "ratio"]
    lines = [" | ".join(head), " | ".join(["---"] * 4 + ["--:"] * (len(head) - 4))]
    for case, measured, memory in ((one.case, one.measured, one.memory) for one in results):
        cells = [
            case.method,
            case.backend,
            f"{case.batch} × {case.length}",
            case.also,
            *(f"{value / 1e9:.3f}" for value in memory.parts.values()),
            f"{memory.total / 1e9:.2f}",
            f"{measured['peak'] / 1e9:.2f}",
            f"{memory.total / measured['peak']:.2f}",
        ]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def deviation(results: Sequence[Result]) -> str:
    """How far off the worst of them is."""
    worst = max(results, key=lambda one: abs(one.ratio - 1))
    inside = sum(abs(one.ratio - 1) <= 0.1 for one in results)
    return (
        (
            f"Largest deviation: {worst.ratio - 1:+.0%} ({worst.case.name}); "
            f"{inside} of {len(results)} are within 10 %."
        )
        .replace("%", " %")
        .replace("  %", " %")
    )


if __name__ == "__main__":
    main()
