"""Export SmolLM2-135M's shape as f16, q8_0 and q4_k_m, beside the bare tools called by hand.

    python -m benchmarks.export ../shared/data/gsm8k/train.jsonl

The weights are random (there is no Hub where this runs), so times, memory and sizes are real, and a
proof's verdict says nothing. By hand means: llama.cpp's converter in a process of its own, with the
model that is merged already, then its quantiser twice.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from benchmarks.engines import ended, start
from benchmarks.real_size import with_model
from benchmarks.swap import build_adapters
from benchmarks.tables import Line, arguments_of, section
from lora_tui.core import export_tools, members, runs
from lora_tui.core.exporting import ExportPlan
from lora_tui.jobs.exact import exact_preset

QUANTS = ("f16", "q8_0", "q4_k_m")
NUMBERS = {"q8_0": 7, "q4_k_m": 15}
CONVERT = """
import sys
sys.path.insert(0, sys.argv[1])
import convert_hf_to_gguf as converter
from conversion import base
base.TextModel.get_vocab_base_pre = lambda self, tokenizer: "smollm"
sys.argv = ["convert", sys.argv[2], "--outfile", sys.argv[3], "--outtype", "f16"]
converter.main()
"""
QUANTISE = """
import sys
import cyllama.llama.llama_cpp as llama
llama.disable_logging()
settings = llama.LlamaModelQuantizeParams()
settings.ftype, settings.nthread = int(sys.argv[3]), int(sys.argv[4])
llama.model_quantize(sys.argv[1], sys.argv[2], settings)
"""


@dataclass(slots=True)
class Measured:
    """One export of ours: seconds without its proofs and of them, and bytes of memory."""

    making: float
    proving: float
    memory: float
    memory_in_all: float


@dataclass(slots=True)
class Memory:
    """What a process and its children take, several times a second."""

    process: psutil.Process
    over: threading.Event = field(default_factory=threading.Event)
    seen: list[tuple[float, int]] = field(default_factory=list)

    def watch(self) -> None:
        """Note the sum until it is over."""
        while not self.over.wait(0.05):
            with_children = [self.process, *_children(self.process)]
            self.seen.append((time.time(), sum(map(_resident, with_children))))

    def peak(self, until: float) -> int:
        """The most there was before a moment."""
        return max(taken for at, taken in self.seen if at < until)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0


def main() -> None:
    """Build the model and an adapter, export by turns, and write the section."""
    parser = arguments_of(__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    command = f"benchmarks.export ROWS.jsonl --repeats {arguments.repeats}"
    with section(arguments.out, "export", command) as lines, with_model(arguments.rows) as home:
        build_adapters(home)
        lines.extend(measure(home, arguments.repeats))


def measure(home: Path, repeats: int) -> list[Line]:
    """Ours and by hand, one after the other, so that both meet the same machine."""
    by_hand(home)  # the disk's cache is warm from here on
    hand, ours = [], []
    for _ in range(repeats):
        hand.append(by_hand(home))
        ours.append(export(home))
    ratios = [one.making / other for one, other in zip(ours, hand, strict=True)]
    size = (home / "model" / "model.safetensors").stat().st_size
    most = f"{(2.5 * size + 600e6) / 1e6:,.0f}"
    megabytes = [one.memory / 1e6 for one in ours]
    in_all = [one.memory_in_all / 1e6 for one in ours]
    return [
        Line("merging, f16, q8_0 and q4_k_m, without proofs", [one.making for one in ours], "s"),
        Line("converter and quantiser called by hand", hand, "s"),
        Line("… times as long", ratios, "times", "1.15"),
        Line("peak memory until the first proof", megabytes, "MB", most),
        Line("peak memory in all, with llama.cpp's processes", in_all, "MB"),
        Line("the three proofs", [one.proving for one in ours], "s", "60"),
    ]


def by_hand(home: Path) -> float:
    """Seconds that the bare tools take."""
    llama_cpp = str(export_tools.find().converter.parent)
    f16, threads = str(home / "hand-f16.gguf"), str(os.cpu_count())
    began = time.perf_counter()
    _call(CONVERT, llama_cpp, str(home / "model"), f16)
    for name, number in NUMBERS.items():
        _call(QUANTISE, f16, str(home / f"hand-{name}.gguf"), str(number), threads)
    return time.perf_counter() - began


def _call(code: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def export(home: Path) -> Measured:
    """One export by the engine, as the app starts it."""
    member = members.of_source(str(home / "adapter-0"))
    plan = ExportPlan(member=member, quants=QUANTS, folder=str(home / "out"), again=True)
    preset, has_rows = exact_preset([member])
    options = {**plan.document(), "has_rows": has_rows}
    run = runs.create(preset, name="export", kind="export", options=options)
    began = time.time()
    engine = start(run, "export")
    with watched(engine.pid) as memory:
        events = ended(engine, run)
    took = time.time() - began
    spans = list(_proofs(events))
    proving = sum(end - begin for begin, end in spans)
    return Measured(took - proving, proving, memory.peak(spans[0][0]), memory.peak(began + took))


@contextmanager
def watched(number: int) -> Iterator[Memory]:
    """The memory of a process, by its id, for as long as it lives."""
    memory = Memory(psutil.Process(number))
    thread = threading.Thread(target=memory.watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        memory.over.set()
        thread.join()


def _proofs(events: Sequence[dict[str, Any]]) -> Iterator[tuple[float, float]]:
    """When each proof began and ended."""
    begin = 0.0
    for event in events:
        if event.get("state") == "proving":
            begin = event["t"]
        elif event["kind"] == "proof":
            yield begin, event["t"]


if __name__ == "__main__":
    main()
