"""Train a model of SmolLM2-135M's exact shape, LoRA and full, by both backends, and write a table.

    python -m benchmarks.real_size ../shared/data/gsm8k/train.jsonl

The weights are random (there is no Hub where this runs), so speed, memory and sizes are real and
the loss only shows that it falls. Each run is a whole engine process in a run directory of its own.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.engines import ended, start
from benchmarks.tables import REPOSITORY, arguments_of, own_home
from lora_tui.core import preset_files, runs, text

DOCUMENT = REPOSITORY / "docs" / "real-size.md"
VOCABULARY = 49_152
PARAMETERS = 134_515_008
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face"
    "<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def main() -> None:
    """Build the model once, train it four times, write the document."""
    parser = arguments_of(__doc__, DOCUMENT)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    with with_model(arguments.rows) as home:
        results = []
        for method in ("lora", "full"):
            for backend in ("transformers", "unsloth"):
                print(f"{method} by {backend} ...", file=sys.stderr, flush=True)
                results.append(train(home / "model", arguments, method, backend))
                print(json.dumps(results[-1], indent=1), file=sys.stderr, flush=True)
    arguments.out.write_text(document(results, arguments, load), encoding="utf-8")


@contextmanager
def with_model(rows: Path, name: str = "model") -> Iterator[Path]:
    """A folder with such a model in it, and a home of its own."""
    with own_home() as folder:
        build_model(folder / name, rows)
        yield folder


def build_model(folder: Path, rows: Path) -> None:
    """SmolLM2-135M's shape with random weights, and a tokenizer of its size and form."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        min_frequency=1,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts(rows), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
        pad_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_theta=100_000,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=1 / 24,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    assert model.num_parameters() == PARAMETERS, model.num_parameters()
    model.save_pretrained(folder)


def texts(rows: Path) -> Iterator[str]:
    """Every text in the rows."""
    for line in rows.read_text("utf-8").splitlines():
        yield from (value for value in json.loads(line).values() if isinstance(value, str))


def train(model: Path, arguments: argparse.Namespace, method: str, backend: str) -> dict[str, Any]:
    """One run with the hyperparameters of smollm2-lora; its figures."""
    preset = preset_files.with_settings(
        preset_files.find("smollm2-lora"),
        [
            f"model.name_or_path={model}",
            f"data.source={arguments.rows.absolute()}",
            "data.eval_fraction=0.002",  # a few rows: what is measured here is training
            f"training.max_steps={arguments.steps}",
            "training.eval_steps=0",
            "training.save_steps=0",
            f"lora.method={method}",
            f"engine.backend={backend}",
            "engine.device=cpu",
        ],
    )
    run = runs.create(preset, name=f"{method}-{backend}")
    return figures(ended(start(run), run))


def figures(events: list[dict[str, Any]]) -> dict[str, Any]:
    """What the events of a finished run say."""
    last = {event["kind"]: event for event in events}
    steps = [event for event in events if event["kind"] == "step"]
    model, final = last["model"], last["finished"]
    # The first step also warms up; the pace is that of the others.
    pace = (steps[-1]["seconds"] - steps[0]["seconds"]) / (len(steps) - 1)
    tokens = (steps[-1]["tokens"] - steps[0]["tokens"]) / (
        steps[-1]["seconds"] - steps[0]["seconds"]
    )
    return {
        "backend": last["started"]["backend"],
        "method": model["method"],
        "trainable": model["trainable_parameters"],
        "total": model["total_parameters"],
        "seconds_per_step": pace,
        "tokens_per_second": tokens,
        "peak_memory": final["peak_memory_bytes"],
        "saved": final.get("adapter_bytes") or final["model_bytes"],
        "first": steps[0]["loss"],
        "last": steps[-1]["loss"],
        "tokens_per_step": steps[-1]["tokens"] / len(steps),
        "versions": last["started"]["versions"],
    }


def document(results: list[dict[str, Any]], arguments: argparse.Namespace, load: float) -> str:
    """The page in docs/."""
    lines = [
        "| method | backend | trained | share | s a step | tokens/s | peak memory | saved | loss |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        cells = [
            result["method"],
            result["backend"],
            f"{result['trainable']:,}",
            text.share(result["trainable"] / result["total"]),
            text.number(result["seconds_per_step"]),
            text.number(result["tokens_per_second"]),
            text.size(result["peak_memory"]),
            text.size(result["saved"]),
            f"{result['first']:.3f} → {result['last']:.3f}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {number}" for name, number in results[0]["versions"].items())
    per_step = text.number(results[0]["tokens_per_step"])
    return f"""# A run of real size

A model of SmolLM2-135M's exact shape ({PARAMETERS:,} parameters) with random weights and a
tokenizer trained on the spot, on the GSM8K training rows, with the hyperparameters of the preset
`smollm2-lora`: rank 16 on the seven projections, batch 2 × 4, {arguments.steps} steps of about
{per_step} real tokens. Full fine-tuning keeps its weights in float32 and computes in bfloat16, as
the LoRA runs do. Random weights make speed, memory and sizes real; the loss only shows that it
falls.

{chr(10).join(lines)}

Seconds a step and tokens a second are those of training alone, without the first step, counting
real tokens, not padding. Saved is the adapter in float32, or the model in bfloat16.

Machine: {machine()}; load average at the start {load:.1f}.
Versions: {versions}.
Command: `python -m benchmarks.real_size ../shared/data/gsm8k/train.jsonl`
"""


def machine() -> str:
    """Cores and memory, without names."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{cores} {platform.machine()} cores, {text.size(memory)} of memory, no GPU"


if __name__ == "__main__":
    main()
