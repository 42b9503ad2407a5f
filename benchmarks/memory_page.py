"""The page in docs/ that sets each estimate beside what the run took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.memory_cases import CHECKS, GRID, STEPS, WIDE, Case
from benchmarks.real_size import machine
from lora_tui.core.estimate import Memory

CHECKED = """The formulas come from what autograd keeps and from the sources of the libraries. \
Measured are the
program itself (on `tiny`, where little else is left), what oneDNN keeps of a product, and the holes
that freed tensors leave in a CPU's heap (on the runs above; half of that with checkpointing, on
those below). `wide` has {num_hidden_layers} layers, hidden size {hidden_size}, an MLP of \
{intermediate_size}, {num_attention_heads} heads,
{num_key_value_heads} key heads, a vocabulary of {vocab_size:,} and a head of its own."""


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
and about half of it is trained. Without a GPU both backends compute a step with the same operations
(`lora_tui/engine/fused_*.py`, `row_attention.py`), so one estimate is for both. Sizes are in GB
(10⁹ bytes).

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

Machine: {machine()}, no GPU.
Versions: {", ".join(f"{name} {number}" for name, number in versions.items())}.
Command: `python -m benchmarks.memory ../shared/data/gsm8k/train.jsonl`
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
