"""Merging in a real terminal, by keys that come all at once, with a real engine."""

import json

import pytest

from lora_tui.core import locations, runs
from lora_tui.core.merging import REPORT
from lora_tui.core.runs import Run
from tools.terminal import APP, Terminal, wait_until

from .merges import two

pytestmark = pytest.mark.xdist_group("survival")


def merges() -> list[Run]:
    return runs.list_runs(locations.merges_folder())


def test_marked_runs_are_merged_and_go_on_when_left_and_come_back() -> None:
    two(4, 8)
    with Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "r8-pirate" in text and "demo" in text)
        terminal.settle()
        terminal.press("\t  m")
        terminal.wait_for("t merges them")  # by cat, as their ranks differ
        terminal.press("\x1b[Ct")  # more of the first
        terminal.wait_for("leaving lets it go on")
        terminal.press("q")
        terminal.wait_for("2 marked")
        # Before that the app itself holds the lock, and its end would be the merge's.
        begun = terminal.pump(180, lambda: any(merge.events.exists() for merge in merges()))
        assert begun, terminal.text
        (run,) = merges()
    # The terminal is gone, the engine is not.
    wait_until(lambda: not runs.is_alive(run), 180, "the merge did not end")
    document = json.loads((run.merged / REPORT).read_text())
    assert document["method"] == "cat" and document["weights"] == [0.6, 0.5]
    with Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "r8-pirate" in text and "demo" in text)
        terminal.press("\t  m")
        terminal.wait_for(lambda text: "✓ finished" in text and "✓ PASS" in text)
        terminal.press("r")
        terminal.wait_for(lambda text: "0.600" in text and "t merges them" in text)
