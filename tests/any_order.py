"""Two clients who start, pause, stop, kill, resume and delete runs in any order.

Real engines, the real command line beside the functions that the app calls. `python -m
benchmarks.any_order` makes many examples of it, the suite a few.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lora_tui.core import queue as tickets
from lora_tui.core import runs, states
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.preset_files import find, with_settings
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control, launch
from tools.terminal import wait_until

STEPS = 6
SETTINGS = (
    f"training.max_steps={STEPS}",
    "training.save_steps=2",
    "data.eval_fraction=0",
    "model.dtype=float32",
    "engine.backend=transformers",
)
MOST = 3  # runs at once
_WHICH = st.integers(0, MOST - 1)

ALLOWED = {
    "pause": {"paused", "queued", "finished", "stopped", "stopping"},
    "resume": {*states.LIVE, "queued", "finished"},
    "stop": {"stopped", "finished"},
    "kill": {"crashed", "stopped", "finished"},
}
"""The states a run may be in once a request was taken and had its time."""

TALLY: Counter[str] = Counter()
"""What was done, over all examples."""


class AnyOrder(RuleBasedStateMachine):
    """Its model is small: what never may happen, whatever the order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.before = os.environ.get("LORA_TUI_HOME")
        os.environ["LORA_TUI_HOME"] = str(self.folder / "home")
        self.runs: list[Run] = []
        self.deleted: list[Run] = []
        self.finished: set[Run] = set()
        self.losses: dict[int, float] = {}

    # --- what the clients do -----------------------------------------------------------------

    @precondition(lambda self: len(self.runs) < MOST)
    @rule(by_words=st.booleans())
    def start(self, by_words: bool) -> None:
        """One client or the other starts a run; it may have to wait."""
        TALLY["start"] += 1
        if by_words:
            settings = [word for one in SETTINGS for word in ("--set", one)]
            done = self._say("train", "demo", *settings, "--detach", "--json")
            assert done.returncode == 0, done.stderr
            run = Run(Path(json.loads(done.stdout)["paths"]["run"]))
        else:
            run = launch.start(with_settings(find("demo"), SETTINGS))
        assert headline(run).state in {*states.LIVE, "queued"}
        self.runs.append(run)
        # The name of one that was deleted is free again.
        self.deleted = [gone for gone in self.deleted if gone != run]
        self.finished.discard(run)

    @precondition(lambda self: self.runs)
    @rule(which=_WHICH, by_words=st.booleans())
    def pause(self, which: int, by_words: bool) -> None:
        """Whatever it is doing."""
        self._ask("pause", which, by_words)

    @precondition(lambda self: self.runs)
    @rule(which=_WHICH, by_words=st.booleans())
    def resume(self, which: int, by_words: bool) -> None:
        """In place, in the queue, or from its checkpoint."""
        self._ask("resume", which, by_words)

    @precondition(lambda self: self.runs)
    @rule(which=_WHICH, by_words=st.booleans())
    def stop(self, which: int, by_words: bool) -> None:
        """At the end of its step, or before it began."""
        self._ask("stop", which, by_words)

    @precondition(lambda self: self.runs)
    @rule(which=_WHICH, by_words=st.booleans())
    def kill(self, which: int, by_words: bool) -> None:
        """At once."""
        self._ask("kill", which, by_words)

    def _ask(self, verb: str, which: int, by_words: bool) -> None:
        run = self.runs[which % len(self.runs)]
        taken = (self._by_words if by_words else self._by_call)(verb, run)
        TALLY[f"{verb} {'taken' if taken else 'refused'}"] += 1
        if taken:
            state = headline(run).state
            assert state in ALLOWED[verb], (verb, state)

    @precondition(lambda self: self.runs)
    @rule(which=_WHICH, by_words=st.booleans())
    def delete(self, which: int, by_words: bool) -> None:
        """One client or the other deletes a run; a live one is refused."""
        run = self.runs[which % len(self.runs)]
        was_alive = runs.is_alive(run)
        taken = (self._by_words if by_words else self._by_call)("delete", run)
        TALLY[f"delete {'taken' if taken else 'refused'}"] += 1
        assert taken or was_alive or runs.is_alive(run)
        if taken:
            self.runs.remove(run)
            self.deleted.append(run)

    @rule(seconds=st.sampled_from([0.2, 2.0, 6.0]))
    def let_it_work(self, seconds: float) -> None:
        """Time passes."""
        time.sleep(seconds)

    def _say(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lora_tui", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode in {0, 1, 2} and "Traceback" not in done.stderr, done.stderr
        return done

    def _by_words(self, verb: str, run: Run) -> bool:
        words = {
            "kill": ["stop", run.id, "--kill"],
            "resume": ["resume", run.id, "--detach"],
            "delete": ["delete", run.id, "--yes"],
        }
        done = self._say(*words.get(verb, [verb, run.id]), "--json")
        document = json.loads(done.stdout)
        if done.returncode and "error" not in document:  # what was asked is done: the run crashed
            return bool(document["state"] == "crashed" and verb == "kill")
        return done.returncode == 0

    def _by_call(self, verb: str, run: Run) -> bool:
        calls: dict[str, Callable[[Run], object]] = {
            "pause": control.pause,
            "resume": launch.resume,
            "stop": control.stop,
            "kill": control.kill,
            "delete": runs.delete,
        }
        try:
            calls[verb](run)
        except LoraTuiError:
            return False
        if verb in {"stop", "kill"}:
            assert control.wait_until_dead(run, 120)
        if verb == "pause":
            assert control.wait_until_paused(run, 120)
        return True

    # --- what never may happen ---------------------------------------------------------------

    @invariant()
    def nothing_is_torn_doubled_or_lost(self) -> None:
        """Whole lines, one engine, no step twice in a life, equal losses, ends that stay."""
        assert len([run for run in self.runs if runs.is_alive(run)]) <= 1, "one device, one run"
        for run in self.runs:
            self._look_at(run)
        assert not any(run.path.exists() for run in self.deleted)

    def _look_at(self, run: Run) -> None:
        said = run.events.read_text("utf-8") if run.events.exists() else ""
        step: int | None = None
        for line in said[: said.rfind("\n") + 1].splitlines():
            event = json.loads(line)
            if event["kind"] == "launched":
                step = None
            if event["kind"] != "step":
                continue
            assert step is None or event["step"] == step + 1, "a step is missing"
            step = event["step"]
            assert self.losses.setdefault(step, event["loss"]) == event["loss"], step
        state = headline(run).state
        if run in self.finished:
            assert state == "finished"
        elif state == "finished":
            assert step == STEPS and (run.adapter / "adapter_model.safetensors").is_file()
            self.finished.add(run)

    def teardown(self) -> None:
        """Whatever was done to them, all runs that are left can be finished."""
        try:
            for run in self.runs:  # a paused run keeps its device: none behind it comes to its turn
                self._let_go_on(run)
            for run in self.runs:
                self._finish(run)
        finally:
            for run in self.runs:
                tickets.leave(run)
                if runs.is_alive(run):
                    control.kill(run)
                    control.wait_until_dead(run, 30)
            shutil.rmtree(self.folder)
            os.environ.pop("LORA_TUI_HOME")
            if self.before is not None:
                os.environ["LORA_TUI_HOME"] = self.before

    def _let_go_on(self, run: Run) -> None:
        ticket = tickets.read(run)
        state = headline(run).state
        if run.pause.exists() or (ticket and ticket.held) or state in states.RESUMABLE:
            launch.resume(run)

    def _finish(self, run: Run) -> None:
        wait_until(lambda: not tickets.is_open(run), 300, f"{run.id} does not end")
        self._look_at(run)
        assert headline(run).state == "finished", run.log.read_text()[-2000:]
        TALLY["finished in the end"] += 1
