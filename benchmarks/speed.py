"""This program's training beside the scripts a user would run instead, alternating in one call.

    python -m benchmarks.speed ../shared/data/gsm8k/train.jsonl

Each script is a process of its own, alone on the machine, on the same model of SmolLM2-135M's exact
shape (random weights: there is no Hub where this runs), the same rows and settings, for as many
steps. The held-out losses of all are measured afterwards by one and the same plain program.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import speed_figures as figures
from benchmarks.real_size import machine, with_model
from benchmarks.speed_runs import Bench
from benchmarks.tables import Line, arguments_of, put, table
from lora_tui.core.platforms import cpu_flags, cpu_has_bfloat16
from lora_tui.engine.machine import has_bfloat16, versions


def main() -> None:
    """Measure every script `repeats` times in turn, and write the section."""
    parser = arguments_of(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=even, default=12, help="of each run")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--profile", action="store_true", help="say where the time goes, too")
    arguments = parser.parse_args()
    device, load = device_name(arguments.device), os.getloadavg()[0]
    on_gpu = arguments.device == "cuda"
    dtype = "bfloat16" if on_gpu or cpu_has_bfloat16() else "float32"
    section = "speed-cuda" if on_gpu else section_here(dtype)
    command = (
        f"`python -m benchmarks.speed ROWS.jsonl --repeats {arguments.repeats} "
        f"--steps {arguments.steps} --device {arguments.device}`"
    )
    told = ", ".join(f"{name} {number}" for name, number in versions().items())
    about = [
        f"{command} on {time.strftime('%Y-%m-%d')}, load {load:.1f} before it.",
        f"{device}, all computing in {dtype}; {told}.",
        "",
    ]
    with with_model(arguments.rows) as folder:
        bench = Bench(folder, arguments.steps, arguments.device, dtype)
        bench.write_rows(arguments.rows)
        for lines in tables(bench, arguments.repeats):
            write(arguments.out, section, [*about, *lines])
        if arguments.profile:
            lines = figures.profile_table(*bench.profile())
            if not on_gpu:
                lines += ["", *figures.heap_table(bench.heap_by_step())]
            write(arguments.out, f"{section}-profile", lines)


def section_here(dtype: str) -> str:
    """The processor's section: how fast it multiplies in `dtype` decides what can be gained.

    Raises:
        SystemExit: the page has none for it.
    """
    if dtype == "float32":
        return "speed-float32"
    sections = {"amx_bf16": "speed", "avx512_bf16": "speed-avx512"}
    for flag, section in sections.items():
        if flag in cpu_flags():
            return section
    raise SystemExit("The page has no section for the way in which this processor has bfloat16.")


def even(value: str) -> int:
    """A number of steps with a half.

    Raises:
        ValueError: it has none.
    """
    if int(value) < 4 or int(value) % 2:
        raise ValueError(value)
    return int(value)


def device_name(device: str) -> str:
    """What computes, and what is around it; without names of machines.

    Raises:
        SystemExit: it is not there.
    """
    cores = f"{cpu_name()}, {machine()}"
    if device == "cpu":
        return f"{cores}, no GPU used"
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("Torch sees no CUDA device here, so nothing was measured.")
    if not has_bfloat16(torch, device):
        raise SystemExit("The GPU has no bfloat16, which all are to compute in.")
    return f"{torch.cuda.get_device_name()}; {cores}"


def cpu_name() -> str:
    """The processor's model, where Linux tells."""
    told = Path("/proc/cpuinfo").read_text("utf-8").partition("model name")[2]
    return told.partition("\n")[0].strip("\t :") or "unknown processor"


def tables(bench: Bench, repeats: int) -> Iterator[list[str]]:
    """The figures, then the ratios beside their limits: after each round those of all so far."""
    rounds, loading = [], []
    for number in range(1, repeats + 1):
        print(f"round {number} of {repeats}", file=sys.stderr, flush=True)
        if number == 1:
            bench.loading()  # so that not the first round alone reads the libraries from the disk
        loading.append(bench.loading())
        rounds.append(bench.round(number))
        ratios = figures.ratios(rounds, loading, on_gpu=bench.device == "cuda")
        waited = Line("Unsloth's import, model and adapter", loading, "s")
        yield [*figures.figures_table(rounds), "", *table([waited, *ratios], "limit")]


def write(path: Path, section: str, lines: Sequence[str]) -> None:
    """Print a section and put it into the document."""
    print("\n".join(lines), flush=True)
    put(path, section, lines)


if __name__ == "__main__":
    main()
