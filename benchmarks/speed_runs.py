"""The processes of benchmarks/speed.py: stock scripts, engine runs, the limit and the judge."""

import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import heap, profiled
from benchmarks import speed_figures as figures
from benchmarks.engines import ended, start
from benchmarks.speed_figures import Measured, Repeat
from benchmarks.stock.watching import FIGURES, HALF, WHOLE
from benchmarks.tables import REPOSITORY
from lora_tui.core import locations, preset_files, runs
from lora_tui.core.runs import Run

TRAIN = 1_000
STOCK = {
    figures.STOCK_TRL: ("trl_script", "lora", 2),
    figures.STOCK_UNSLOTH: ("unsloth_script", "lora", 2),
    figures.WIDE_TRL: ("trl_script", "lora", 8),
    figures.WIDE_UNSLOTH: ("unsloth_script", "lora", 8),
    figures.FULL_TRL: ("trl_script", "full", 2),
}
"""The script, what it trains, and how many of a step's eight rows it computes at once."""

OWN = {
    figures.OWN: ("smollm2-lora", "transformers"),
    figures.OWN_UNSLOTH: ("smollm2-lora", "unsloth"),
    figures.FULL_OWN: ("smollm2-full", "transformers"),
}

Kept = tuple[Path, Path]
"""The weights after half of the steps and after all."""


@dataclass(slots=True)
class Bench:
    """A folder with the model and the rows, and what was learnt of the weights made in it."""

    folder: Path
    steps: int
    device: str
    dtype: str
    """What all compute in; Unsloth and this program find it out by themselves."""

    known: dict[str, float] = field(default_factory=dict)
    """Held-out losses by the digest of the weights: equal weights are measured once."""

    @property
    def model(self) -> Path:
        """What is trained."""
        return self.folder / "model"

    @property
    def rows(self) -> Path:
        """`train.jsonl`, and `test.jsonl` to hold out."""
        return self.folder / "rows"

    def write_rows(self, source: Path) -> None:
        """Questions and answers as TRL's prompts and completions, in an order of their own."""
        lines = source.read_text("utf-8").splitlines()
        random.Random(0).shuffle(lines)
        self.rows.mkdir()
        parts = {"test": lines[: figures.HELD_OUT], "train": lines[figures.HELD_OUT :][:TRAIN]}
        for name, some in parts.items():
            text = "".join(f"{as_prompt(line)}\n" for line in some)
            (self.rows / f"{name}.jsonl").write_text(text, encoding="utf-8")

    def round(self, number: int) -> Repeat:
        """Every script once, in even rounds the last one first, then the held-out losses."""
        bare = self._stock("bare", "bare", [self.model], self.dtype, self.steps)
        found = {figures.BARE: Measured(**bare)}
        kept: dict[str, Kept] = {}
        for name in (*figures.LORA, *figures.FULL)[:: 1 if number % 2 else -1]:
            print(name, file=sys.stderr, flush=True)
            self._forget_rows()
            found[name], kept[name] = self._script(name) if name in STOCK else self._own(name)
        self._judge([self.model, *(one for pair in kept.values() for one in pair)])
        for name, (half, whole) in kept.items():
            base, middle, last = (self.known[digest(one)] for one in (self.model, half, whole))
            found[name] = replace(found[name], losses=(base, middle, last))
        for folder in (self.folder / "out", locations.runs_folder()):
            shutil.rmtree(folder)
        return found

    def loading(self) -> float:
        """Seconds of an Unsloth script until it has a model with an adapter."""
        begun = time.time()
        return float(self._stock("loading", "loading", [self.model])["ready_at"]) - begun

    def profile(self) -> tuple[list[tuple[float, int, str]], int]:
        """Own seconds, calls and name of each operator of the engine's steps, and their number."""
        return self._looked_into("profiled", profiled.STEPS), profiled.ACTIVE

    def heap_by_step(self) -> list[tuple[int, int]]:
        """Bytes in use and in holes at the end of each forward pass, on a CPU."""
        found: list[tuple[int, int]] = self._looked_into("heap", heap.STEPS)
        return found

    def _looked_into(self, module: str, steps: int) -> Any:
        """What a module of the benchmarks found out about a run of the engine."""
        run = self._run(figures.OWN, steps, "training.save_steps=0", "training.eval_steps=0")
        out = self.folder / f"{module}.json"
        self._python(module, run.path, out)
        return json.loads(out.read_text("utf-8"))

    def _forget_rows(self) -> None:
        """What was tokenised before, so that all start as on the first day."""
        for cache in (locations.home() / "cache" / "tokens", self.folder / "huggingface"):
            shutil.rmtree(cache, ignore_errors=True)

    def _script(self, name: str) -> tuple[Measured, Kept]:
        script, *settings = STOCK[name]
        if script == "trl_script":
            settings.append(self.dtype)
        given = (self.model, self.rows / "train.jsonl", self.rows / "test.jsonl")
        begun = time.time()
        told = self._stock(script, name, given, *settings, self.steps)
        out = self.folder / "out" / name
        first = told.pop("first_step_at") - begun
        whole = out / WHOLE
        return Measured(**told, to_first_step=first, saved=weight(whole)), (out / HALF, whole)

    def _own(self, name: str) -> tuple[Measured, Kept]:
        half = self.steps // 2
        each = (f"training.save_steps={half}", f"training.eval_steps={half}")
        run = self._run(name, self.steps, *each)
        begun = time.time()
        told = ended(start(run), run)
        whole = run.adapter if run.adapter.exists() else run.model
        return of_events(told, begun, half, weight(whole)), (
            run.checkpoints / f"checkpoint-{half}",
            whole,
        )

    def _stock(
        self, script: str, name: str, given: Sequence[Path], *options: object
    ) -> dict[str, Any]:
        """Run a script; what it measured."""
        out = self.folder / "out" / name
        out.mkdir(parents=True, exist_ok=True)
        self._python(f"stock.{script}", *given, out, *options)
        return dict(json.loads((out / FIGURES).read_text("utf-8")))

    def _python(self, module: str, *arguments: object) -> str:
        """Run a module of the benchmarks to its end; what it printed.

        Raises:
            SystemExit: it failed; the end of what it said is why.
        """
        here = self.folder / "stock"  # where Unsloth puts what it compiles
        here.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
            cwd=here,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                "HF_HOME": str(self.folder / "huggingface"),
                "HF_HUB_OFFLINE": "1",
                "UNSLOTH_DISABLE_STATISTICS": "1",
                **({} if self.device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}),
            },
        )
        if done.returncode:
            raise SystemExit(f"{module} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
        return done.stdout

    def _run(self, name: str, steps: int, *more: str) -> Run:
        """A run of a shipped preset with the stock scripts' settings, not started."""
        preset, backend = OWN[name]
        settings = (
            f"model.name_or_path={self.model}",
            f"data.source={self.rows}",
            "lora.lora_dropout=0",
            f"training.max_steps={steps}",
            f"engine.backend={backend}",
            f"engine.device={self.device}",
        )
        chosen = preset_files.with_settings(preset_files.find(preset), [*settings, *more])
        return runs.create(chosen, name=name)

    def _judge(self, folders: Sequence[Path]) -> None:
        """Measure the held-out loss of weights not measured yet, all by the same program."""
        new = {digest(one): one for one in folders}
        new = {key: one for key, one in new.items() if key not in self.known}
        if new:
            print("held-out losses", file=sys.stderr, flush=True)
            rows = self.rows / "test.jsonl"
            told = self._python("stock.held_out", self.model, rows, *new.values())
            self.known.update(zip(new, json.loads(told.splitlines()[-1]), strict=True))


def as_prompt(line: str) -> str:
    """A question and its answer as TRL takes them."""
    row = json.loads(line)
    return json.dumps(
        {
            "prompt": [{"role": "user", "content": row["question"]}],
            "completion": [{"role": "assistant", "content": row["answer"]}],
        }
    )


def of_events(events: Sequence[dict[str, Any]], begun: float, half: int, saved: int) -> Measured:
    """What a run's events say of it.

    Its peak is that of the last step, as the stock scripts' is: what measures at the end comes
    later. The evaluation is the one after `half`, from that step's event to its own.
    """
    steps = [event for event in events if event["kind"] == "step"]
    evaluated = next(one for one in events if one["kind"] == "eval" and one["step"] == half)

    def differences(key: str) -> list[Any]:
        totals = [0, *(step[key] for step in steps)]
        return [total - before for before, total in pairwise(totals)]

    return Measured(
        seconds=differences("seconds"),
        tokens=differences("tokens"),
        trained=differences("trained_tokens"),
        to_first_step=steps[0]["t"] - steps[0]["seconds"] - begun,
        peak=steps[-1]["memory_bytes"],
        evaluation=evaluated["t"] - steps[half - 1]["t"],
        saved=saved,
    )


def weights(folder: Path) -> list[Path]:
    """The files that hold an adapter or a model."""
    return sorted(folder.glob("*.safetensors"))


def weight(folder: Path) -> int:
    """Their bytes."""
    return sum(file.stat().st_size for file in weights(folder))


def digest(folder: Path) -> str:
    """What they hold, in short."""
    found = hashlib.sha256()
    for file in weights(folder):
        with file.open("rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()
