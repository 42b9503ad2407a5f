"""Two apps on one home, each in a terminal of its own: what one does, the other shows."""

import pytest

from lora_tui.core import devices, queue, runs
from lora_tui.core.presets import Preset
from tools.terminal import APP, Terminal

pytestmark = pytest.mark.xdist_group("survival")


def test_what_one_app_does_the_other_shows() -> None:
    # The processor is another run's, so that nothing starts.
    busy = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    try:
        with Terminal(APP) as one, Terminal(APP) as two:
            for terminal in (one, two):
                terminal.wait_for("other")
            one.press("t")
            one.wait_for("Name of the run")
            one.press("\r")
            one.wait_for("next to start")
            one.press("q")
            two.wait_for(lambda text: "queued" in text and "#1" in text)
            two.press("\tgP")
            for terminal in (two, one):
                terminal.wait_for("held")
            one.press("\tgS")
            for terminal in (one, two):
                terminal.wait_for(lambda text: text.count("stopped") == 2)
    finally:
        for ticket in queue.waiting():  # or the keeper would start it
            queue.leave(ticket.run)
        assert busy
        busy.close()
