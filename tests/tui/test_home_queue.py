"""The queue on Home and on a run's own screen: its order, holding, taking out, by keys."""

import pytest

from lora_tui.core import queue
from lora_tui.core.runs import Run
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.widgets.run_list import RunList
from tests.tui.conftest import Maker, settled, shown
from tests.tui.data_reports import until

pytestmark = pytest.mark.usefixtures("shipped")


def order() -> list[str]:
    return [ticket.run.id.rpartition("-")[2] for ticket in queue.waiting()]


@pytest.fixture
def three(make_run: Maker) -> list[Run]:
    """Three that wait, held, so that none starts; the queue has them in reverse."""
    return [make_run(name, "queued", number=number) for number, name in enumerate("abc")]


async def test_the_queue_stands_in_its_order_and_is_changed_by_keys(
    three: list[Run], make_run: Maker
) -> None:
    make_run("live", "running", number=9)
    app = LoraTuiApp()
    async with app.run_test(size=(100, 24)) as pilot:
        await settled(pilot)
        await pilot.press("tab", "down")
        await settled(pilot)
        rows = app.screen.query_one(RunList)
        assert order() == ["c", "b", "a"] and rows.chosen == three[2].id
        await pilot.press(">")
        await settled(pilot)
        assert order() == ["b", "c", "a"] and rows.chosen == three[2].id
        assert rows.highlighted == 2  # the cursor goes with its run
        await pilot.press("<", "<")
        await settled(pilot)
        assert order() == ["c", "b", "a"]
        await pilot.press("S")
        await settled(pilot)
        assert order() == ["b", "a"]
        lines = shown(pilot).splitlines()
        assert any("stopped" in line and " c " in line for line in lines)


async def test_a_run_that_waits_says_for_what_and_is_held_and_released(three: list[Run]) -> None:
    ticket = queue.read(three[2])
    assert ticket
    queue.write(queue.Ticket(run=three[2], position=1.0, host="elsewhere", t=ticket.t))
    app = LoraTuiApp(open_run=three[2])
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "next to start on elsewhere" in shown(pilot) and "p holds it" in shown(pilot)
        await pilot.press("p")
        await until(pilot, lambda: "p releases it" in shown(pilot))
        held = queue.read(three[2])
        assert held and held.held
        await pilot.press("s")
        await until(pilot, lambda: "■ stopped" in shown(pilot))
        assert queue.read(three[2]) is None
