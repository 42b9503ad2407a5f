"""`kill -9` of the engine at random moments, the writing of checkpoints included; then resume.

    python -m benchmarks.kills [--times 50] [--each 5] [--seed 0] [--out FILE]

Short runs of the demo with a checkpoint at every step. Each run is killed `--each` times and
resumed after each, then left to its end: its losses and weights have to be those of a run that
nobody disturbed. Three kills of four wait until a checkpoint is being written; the others come at
any moment of the engine's life. Exit code 1 if anything was lost.
"""

import argparse
import random
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.tables import SURVIVAL, Line, own_home, section
from lora_tui.core import events, runs
from lora_tui.core.preset_files import find, with_settings
from lora_tui.core.runs import Run
from lora_tui.core.safetensors import read_header
from lora_tui.core.summary import headline
from lora_tui.jobs import control, launch
from tools.terminal import wait_until

STEPS = 40
SETTINGS = (
    "engine.backend=transformers",
    "model.dtype=float32",
    "lora.lora_dropout=0.1",
    "data.eval_fraction=0",
    f"training.max_steps={STEPS}",
    "training.save_steps=1",
    "training.eval_steps=0",
    "training.logging_steps=1",
)
COMPARED = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")
WRITING = 0.75
"""Share of the kills that wait for a checkpoint to be written."""
LIMIT = 2.0
"""Seconds until a killed run has to be shown as crashed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--each", type=int, default=5, help="kills of one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    asked = parser.parse_args()
    how = f"benchmarks.kills --times {asked.times} --each {asked.each} --seed {asked.seed}"
    with section(asked.out, "kills", how) as lines, own_home():
        trial = Trial(random.Random(asked.seed))
        while trial.counts["kills"] < asked.times:
            trial.disturb(min(asked.each, asked.times - trial.counts["kills"]))
        lines.extend(trial.lines())
    raise SystemExit(1 if trial.lost else 0)


class Trial:
    """Runs that are killed, against one that is not."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.counts: Counter[str] = Counter()
        self.seconds: list[float] = []
        began = time.monotonic()
        self.undisturbed = launch.start(with_settings(find("demo"), SETTINGS), name="undisturbed")
        self._end(self.undisturbed)
        self.life = time.monotonic() - began
        assert headline(self.undisturbed).state == "finished", _log(self.undisturbed)

    def disturb(self, kills: int) -> None:
        """Kill a run again and again, then let it end, and compare."""
        run = launch.start(with_settings(find("demo"), SETTINGS), name="killed")
        for _ in range(kills):
            if not self._kill(run):
                break
            self._look(run)
            launch.resume(run)
            self._check_resumed(run)
        self._end(run)
        ended = headline(run).state == "finished"
        self.counts["runs"] += 1
        self.counts["runs resumed to their end"] += ended
        self.counts["runs of other losses"] += _curve(run) != _curve(self.undisturbed)
        self.counts["runs of other weights"] += _weights(run) != _weights(self.undisturbed)
        print(f"{run.id}: {dict(self.counts)}", file=sys.stderr, flush=True)
        if not ended:
            print(_log(run), file=sys.stderr, flush=True)

    def _end(self, run: Run) -> None:
        assert control.wait_until_dead(run, 600)

    def _kill(self, run: Run) -> bool:
        """Whether it was still alive when its moment had come."""
        if self.chance.random() < WRITING:
            further = headline(run).step + self.chance.randint(0, 2 * STEPS // 10)
            while headline(run).step < further and runs.is_alive(run):
                time.sleep(0.01)
            while not _is_writing(run) and runs.is_alive(run):
                time.sleep(0.0005)
            time.sleep(self.chance.uniform(0, 0.03))
        else:
            time.sleep(self.chance.uniform(0, self.life))
        if not runs.is_alive(run):
            return False
        began = time.monotonic()
        control.kill(run)
        wait_until(lambda: headline(run).state == "crashed", 60, "it is not shown as crashed")
        self.seconds.append(time.monotonic() - began)
        self.counts["kills"] += 1
        self.counts["shown too late"] += self.seconds[-1] > LIMIT
        return True

    def _look(self, run: Run) -> None:
        """What the kill left: nothing half-written under a final name."""
        self.counts["kills while a checkpoint was written or removed"] += _is_writing(run)
        self.counts["kills before the first checkpoint"] += not runs.checkpoint_steps(run)
        for path in run.checkpoints.glob("checkpoint-*"):
            self.counts["incomplete checkpoints"] += not _is_sound(path)

    def _check_resumed(self, run: Run) -> None:
        """That it goes on from the newest checkpoint there is."""
        newest = max(runs.checkpoint_steps(run), default=None)
        launches = _of(run, "launched")
        wait_until(
            lambda: any(one["t"] >= launches[-1]["t"] for one in _of(run, "started")),
            120,
            "it did not start",
        )
        from_ = _of(run, "started")[-1].get("resumed_from")
        self.counts["resumed elsewhere"] += from_ != newest

    @property
    def lost(self) -> int:
        """How often anything was not as it has to be."""
        wrong = ("shown too late", "incomplete checkpoints", "resumed elsewhere")
        other = ("runs of other losses", "runs of other weights")
        ended = self.counts["runs"] - self.counts["runs resumed to their end"]
        return sum(self.counts[name] for name in (*wrong, *other)) + ended

    def lines(self) -> list[Line]:
        """The counts as rows."""
        known = (
            ("kills", ""),
            ("kills while a checkpoint was written or removed", ""),
            ("kills before the first checkpoint", ""),
            ("incomplete checkpoints", "0"),
            ("resumed elsewhere", "0"),
            ("runs", ""),
            ("runs resumed to their end", f"at least {self.counts['runs']}"),
            ("runs of other losses", "0"),
            ("runs of other weights", "0"),
        )
        counted = [Line(name, [self.counts[name]], "", limit) for name, limit in known]
        return [*counted, Line("until shown as crashed", self.seconds, "s", f"{LIMIT:g}")]


def _is_writing(run: Run) -> bool:
    return any(run.checkpoints.glob(".*"))


def _is_sound(path: Path) -> bool:
    """Whether every byte of a checkpoint is there, found without the program's own check."""
    names = {file.name for file in path.iterdir()}
    if not {"trainer_state.json", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= names:
        return False
    weights = path / "adapter_model.safetensors"
    length = 8 + int.from_bytes(weights.read_bytes()[:8], "little")
    length += sum(tensor.bytes for tensor in read_header(weights))
    archives = [path / name for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")]
    return weights.stat().st_size == length and all(
        zipfile.is_zipfile(file) and zipfile.ZipFile(file).testzip() is None for file in archives
    )


def _of(run: Run, kind: str) -> list[dict[str, Any]]:
    found = (event for batch in events.batches(run.events) for event in batch)
    return [event for event in found if event["kind"] == kind]


def _curve(run: Run) -> list[tuple[Any, ...]]:
    """The last event of every step, without times."""
    by_step = {event["step"]: event for event in _of(run, "step")}
    return [tuple(by_step[step].get(name) for name in COMPARED) for step in sorted(by_step)]


def _weights(run: Run) -> bytes:
    try:
        return (run.adapter / "adapter_model.safetensors").read_bytes()
    except FileNotFoundError:
        return b""


def _log(run: Run) -> str:
    return run.log.read_text("utf-8", "replace")[-2000:]


if __name__ == "__main__":
    main()
