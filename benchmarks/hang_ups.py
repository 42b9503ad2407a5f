"""A terminal that hangs up again and again over runs in progress.

    python -m benchmarks.hang_ups --times 100

Each time the app is opened in a real terminal, a run is started by keys or the one at work is
opened, and the line drops at a random moment. Then the events are held against what was there
before, the app is opened again, and what it shows against the files. In the end every run has to
be finished, with the losses of a run that nobody watched.
"""

import argparse
import random
import re
from functools import partial
from pathlib import Path

from benchmarks.compare_demo import wait
from benchmarks.tables import SURVIVAL, Line, own_home, section
from lora_tui.core import events, preset_files, queue, runs, summary
from lora_tui.core.events import Event
from lora_tui.core.runs import Run
from lora_tui.core.text import number
from lora_tui.jobs import launch
from tools.terminal import APP, Terminal, wait_until

STEPS = 150
SETTINGS = (f"training.max_steps={STEPS}", "training.save_steps=20", "data.eval_fraction=0")


def main() -> None:
    """Hang up, look, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    arguments = parser.parse_args()
    command = f"benchmarks.hang_ups --times {arguments.times} --seed {arguments.seed}"
    with section(arguments.out, "hang-ups", command) as lines, own_home():
        chosen = preset_files.with_settings(preset_files.find("demo"), SETTINGS)
        preset_files.save(chosen, "watched")
        alone = launch.start(chosen, name="alone")
        wait(alone)
        trial = Trial(random.Random(arguments.seed), curve(alone))
        for _ in range(arguments.times):
            trial.once()
        for run in runs.list_runs():
            wait(run)
        lines.extend(trial.lines())


def said(run: Run) -> list[Event]:
    """Every event of a run."""
    return [event for batch in events.batches(run.events) for event in batch]


def curve(run: Run) -> list[tuple[int, float]]:
    """Every step's loss, in the order of the file."""
    return [(one["step"], one["loss"]) for one in said(run) if one["kind"] == "step"]


class Trial:
    """What was seen so far."""

    def __init__(self, chance: random.Random, alone: list[tuple[int, float]]) -> None:
        self.chance, self.alone = chance, alone
        self.hung_up = self.starting = self.lost = self.wrong = 0

    def once(self) -> None:
        """One terminal that hangs up, and another that looks."""
        going = next((run for run in runs.list_runs() if queue.is_open(run)), None)
        with Terminal(APP) as terminal:
            terminal.wait_for("demo")
            if going is None:
                terminal.press("/watched\r")
                terminal.wait_for(lambda text: "▹watched" in text or "▸watched" in text)
                terminal.press("t")
                terminal.wait_for("Name of the run")
                known = set(runs.list_runs())
                terminal.press("\r")
                wait_until(lambda: bool(set(runs.list_runs()) - known), 30, "no run was made")
                (going,) = set(runs.list_runs()) - known
                wait_until(partial(runs.is_alive, going), 30, "no engine")
                self.starting += 1
            elif self.chance.random() < 0.7:
                terminal.press("\t\r")
            terminal.pump(self.chance.uniform(0, 1.5))
            before = going.events.read_bytes() if going.events.exists() else b""
            terminal.hang_up()
        self.hung_up += 1
        if not going.events.read_bytes().startswith(before):
            self.lost += 1
        self._look(going, len(events.parse(before.splitlines())))

    def _look(self, run: Run, least: int) -> None:
        """Open the app again: it has to show the run no less far than it was."""
        step = summary.headline(run).step
        with Terminal(APP) as terminal:
            terminal.wait_for("demo")
            terminal.press("\t\r")
            terminal.wait_for(lambda text: "loss" in text and ("tokens/s" in text or "…" in text))
            terminal.pump(5, lambda: shown_step(terminal.text) >= step)
            if shown_step(terminal.text) < step or len(said(run)) < least:
                self.wrong += 1
                print(terminal.text, flush=True)

    def lines(self) -> list[Line]:
        """The counts, and how the runs ended."""
        ended = [run for run in runs.list_runs() if runs.read_info(run)["name"] != "alone"]
        states = [summary.show(run)["state"] for run in ended]
        equal = sum(curve(run) == self.alone for run in ended)
        print(states, self.alone[-1], number(self.alone[-1][1]), flush=True)
        return [
            Line("terminals that hung up", [self.hung_up], ""),
            Line("of them while a run was being started", [self.starting], ""),
            Line("events lost", [self.lost], "", "0"),
            Line("reopened app that showed less than before", [self.wrong], "", "0"),
            Line("runs begun", [len(ended)], ""),
            Line("runs lost", [len(ended) - states.count("finished")], "", "0"),
            Line("runs whose losses differ from an unwatched one's", [len(ended) - equal], "", "0"),
        ]


def shown_step(text: str) -> int:
    """The step that the training screen shows; 0 where it has none."""
    found = re.search(r"step\s+([\d,]+) of [\d,]+", text)
    return int(found[1].replace(",", "")) if found else 0


if __name__ == "__main__":
    main()
