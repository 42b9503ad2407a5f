"""Comparisons in a real terminal, by keys that come all at once, with a real engine."""

import json

import pytest

from lora_tui.core import comparison_files, locations, runs
from tools.terminal import APP, Terminal, wait_until

from .comparisons import of, recorded, usual
from .data_reports import at_work

pytestmark = pytest.mark.xdist_group("survival")


def test_marked_runs_are_compared_and_go_on_when_left_and_come_back() -> None:
    """What is compared has no weights: each is refused in words, and the base is measured."""
    usual()
    with Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "full-pirate" in text and "demo" in text)
        terminal.settle()
        terminal.press("\t  c")
        terminal.wait_for(lambda text: "a r8-pirate" in text and "[table]" in text)
        terminal.press("q")
        terminal.wait_for("2 marked")
        (run,) = runs.list_runs(locations.comparisons_folder())
    # The terminal is gone, the engine is not.
    wait_until(lambda: not runs.is_alive(run), 180, "the comparison did not end")
    document = json.loads((run.path / comparison_files.JSON).read_text())
    assert [one["refused"] is None for one in document["runs"]] == [True, False, False]
    with Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "full-pirate" in text and "demo" in text)
        terminal.press("o\r")
        terminal.wait_for(lambda text: "✓ finished" in text and "✗ refused" in text)
        terminal.press("3")
        terminal.wait_for("prompt 1 of 8")


def test_panes_members_and_dialogues_by_bursts() -> None:
    who = of(usual())
    run = recorded(who, final="")
    with at_work(run), Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "full-pirate" in text and "demo" in text)
        terminal.press("o\r")
        terminal.wait_for("leaving lets it go on")
        terminal.press("2\x1b[C\x1b[Cx")
        terminal.wait_for(lambda text: "by tokens" in text and "c full-pirate" in text)
        terminal.press("3nn")
        terminal.wait_for("prompt 3 of 3")
        terminal.press("S")
        terminal.wait_for("Stop measuring?")
        terminal.press("n")
        terminal.wait_for(lambda text: "Stop measuring?" not in text)
        terminal.press("4q")
        terminal.wait_for("Presets")
        assert runs.is_alive(run)
