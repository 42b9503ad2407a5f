"""What every test gets: a home of its own, no network, few threads, and a fresh interpreter."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

# Before anything imports torch: two processes with two threads each on two cores nearly stop.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["UNSLOTH_DISABLE_STATISTICS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Hundreds of programs are started: compiling what they import takes each up to a second.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
from hypothesis import settings

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
gc.set_threshold(50_000)  # as the engine does: at 700 much is looked through for little
settings.register_profile("suite", deadline=None)  # no test fails for a busy machine
settings.load_profile("suite")

TESTS = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups when its own turn comes
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the engine's tests in one worker, so that only one of them loads torch.

    Raises:
        UsageError: a test module loads it when it is imported, which every worker does.
    """
    if "torch" in sys.modules:
        raise pytest.UsageError("A test module loads torch: import it inside the tests.")
    for item in items:
        if (TESTS / "engine") in item.path.parents and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group("engine"))


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Points HOME, every XDG directory and lora-tui's own at an empty folder.

    Not inside `tmp_path`, which a test may want to find empty.
    """
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LORA_TUI_HOME", str(home / "lora-tui"))
    for name in ("CACHE", "CONFIG", "DATA", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "runtime"))
    monkeypatch.setenv("HF_HOME", str(home / "huggingface"))
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", str(home / "unsloth"))
    return home


@pytest.fixture
def fresh_python() -> Callable[[str], str]:
    """Runs code in an interpreter that has imported nothing yet; gives what it printed."""

    def run(code: str) -> str:
        # No -I: the package may be found through PYTHONPATH.
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
