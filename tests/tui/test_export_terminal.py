"""An export in a real terminal, by keys that come all at once."""

import pytest

from lora_tui.core import runs
from tools.terminal import APP, Terminal

from .data_reports import at_work
from .exports import recorded, usual

pytestmark = pytest.mark.xdist_group("survival")


def test_an_export_at_work_is_opened_left_and_opened_again_by_bursts() -> None:
    run = recorded(usual(), final="", until_=7)
    with at_work(run), Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "r4-pirate" in text and "demo" in text)
        terminal.settle()
        terminal.press("\te")
        terminal.wait_for(lambda text: "● writing 42%" in text and "✓ PASS" in text)
        terminal.press("\rq")
        terminal.wait_for("leaving lets it go on")
        terminal.press("sn" + "q")
        terminal.wait_for("Presets")
        assert runs.is_alive(run)
        terminal.press("e")
        terminal.wait_for("● writing 42%")
