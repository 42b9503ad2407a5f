"""Real runs of the real engine, each trained once a session and shared."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import preset_files, runs
from lora_tui.core.runs import Run

REPOSITORY = Path(__file__).parents[2]
# Small enough for seconds, and off every grid: steps, saves and epochs end at different places.
SHORT = (
    "training.max_steps=11",
    "training.eval_steps=4",
    "training.save_steps=4",
    "training.gradient_accumulation_steps=2",
    "training.per_device_train_batch_size=3",
    "training.warmup_steps=2",
)


@dataclass(frozen=True)
class Ended:
    """A run whose engine has ended."""

    run: Run
    code: int

    @property
    def events(self) -> list[dict[str, Any]]:
        """Everything it reported."""
        return [json.loads(line) for line in self.run.events.read_text("utf-8").splitlines()]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def log(self) -> str:
        """What it printed."""
        return self.run.log.read_bytes().decode("utf-8", "replace")  # with its carriage returns


ONE_AFTER_ANOTHER = Path(__file__).with_name("one_after_another.py")


class Engines:
    """Starts engine processes in a home of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._warm: dict[tuple[str, ...], subprocess.Popen[str]] = {}
        self._short: dict[str, Ended] = {}
        self.environment = {
            **os.environ,
            "HOME": str(home),
            "HF_HOME": str(home / "huggingface"),
            "LORA_TUI_HOME": str(home),
            "PYTHONPATH": str(REPOSITORY),
            "HF_HUB_OFFLINE": "1",
        }

    def create(self, preset: str, *settings: str) -> Run:
        """A run directory of a preset with changes."""
        before = os.environ.get("LORA_TUI_HOME")
        os.environ["LORA_TUI_HOME"] = str(self.home)
        try:
            chosen = preset_files.with_settings(preset_files.find(preset), settings)
            return runs.create(chosen, name="test")
        finally:
            os.environ.pop("LORA_TUI_HOME") if before is None else os.environ.update(
                LORA_TUI_HOME=before
            )

    def start(self, run: Run, verb: str = "train") -> subprocess.Popen[bytes]:
        """An engine process as jobs starts it."""
        with run.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "lora_tui.engine", verb, str(run.path)],
                cwd=run.path,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=self.environment,
            )

    def warm(self, run: Run, verb: str, libraries: str, **environment: str) -> Ended:
        """Run a verb to the end in a process that did others before: it has its libraries.

        One process for each set of libraries, as Unsloth changes the others as it loads, and for
        each environment, which is read when they load.
        """
        if not environment:
            self.short(libraries)
        return self._one_more(run, verb, libraries, **environment)

    def short(self, backend: str) -> Ended:
        """The demo model trained for eleven steps in float32.

        The first that such a process does: what the libraries say as they load is in its log.
        """
        if backend not in self._short:
            run = self.create("demo", f"engine.backend={backend}", "model.dtype=float32", *SHORT)
            self._short[backend] = self._one_more(run, "train", backend)
        return self._short[backend]

    def _one_more(self, run: Run, verb: str, libraries: str, **environment: str) -> Ended:
        return Ended(run, self._ask(run, verb, libraries, **environment)())

    def _ask(self, run: Run, verb: str, libraries: str, **environment: str) -> Callable[[], int]:
        of = (libraries, *environment.values())
        if of not in self._warm:
            self._warm[of] = subprocess.Popen(
                [sys.executable, "-P", str(ONE_AFTER_ANOTHER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env={**self.environment, **environment},
            )
        engine = self._warm[of]
        assert engine.stdin is not None and engine.stdout is not None
        engine.stdin.write(f"{verb} {run.path}\n")
        engine.stdin.flush()
        answers = engine.stdout
        return lambda: int(answers.readline())

    def train_warm(self, preset: str, *settings: str, backend: str, **environment: str) -> Ended:
        """Train to the end in such a process."""
        run = self.create(preset, f"engine.backend={backend}", *settings)
        return self.warm(run, "train", backend, **environment)

    def begin(self, run: Run, libraries: str) -> Callable[[], int]:
        """Begin to train in such a process; what is given waits for its end and gives its code."""
        self.short(libraries)
        return self._ask(run, "train", libraries)

    def interrupt(self, libraries: str) -> None:
        """Send SIGTERM to the warm process of a set of libraries."""
        self._warm[(libraries,)].send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End those processes: each ends with its input."""
        for engine in self._warm.values():
            engine.communicate()

    def stop_at(self, run: Run, condition: Callable[[str], bool], verb: str = "train") -> Ended:
        """Start, send SIGTERM as soon as the events fulfil a condition, and wait for the end."""
        engine = self.start(run, verb)
        deadline = time.monotonic() + 120
        while engine.poll() is None and time.monotonic() < deadline:
            if run.events.exists() and condition(run.events.read_text("utf-8")):
                engine.send_signal(signal.SIGTERM)
                break
            time.sleep(0.01)
        return Ended(run, engine.wait(timeout=120))


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """Runs of this session live in one home."""
    found = Engines(tmp_path_factory.mktemp("engine-home"))
    yield found
    found.close()


@pytest.fixture(scope="session", params=["unsloth", "transformers"])
def short_run(request: pytest.FixtureRequest, engines: Engines) -> Ended:
    """The demo model trained for eleven steps in float32, by each backend."""
    return engines.short(request.param)


@pytest.fixture(scope="session")
def both_backends(engines: Engines) -> dict[str, Ended]:
    """The same short run by both backends."""
    return {name: engines.short(name) for name in ("unsloth", "transformers")}


@pytest.fixture(scope="session")
def few_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A little of the demo's data, with its task: 60 rows to train on, 6 held out."""
    folder = tmp_path_factory.mktemp("few-rows")
    for name, lines in (("train.jsonl", 60), ("test.jsonl", 6), ("task.toml", 100)):
        text = (REPOSITORY / "lora_tui/assets/demo-json" / name).read_text("utf-8")
        (folder / name).write_text("\n".join(text.splitlines()[:lines]), "utf-8")
    return folder


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """The demo model's tokenizer."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(REPOSITORY / "lora_tui" / "assets" / "demo-model")


@pytest.fixture
def write_rows(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Writes rows as JSON Lines."""

    def write(*rows: Any, name: str = "rows.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(row) for row in rows) + "\n", "utf-8")
        return path

    yield write
