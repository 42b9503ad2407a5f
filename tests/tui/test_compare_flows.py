"""What is asked around a comparison: beside what it begins, what it replaces, what it refuses."""

import fcntl
import platform

import pytest
from textual import events
from textual.widgets import Input

from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.draft import Draft
from lora_tui.core.members import Member
from lora_tui.core.presets import Preset, all_knobs
from lora_tui.core.runs import Run
from lora_tui.jobs import compare, control
from lora_tui.jobs.compare import Asked
from lora_tui.tui import advice_flows, advice_words, compare_flows
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.chat_settings import ChatSettingsDialog
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen

from .comparisons import of, opened, ready, recorded, trained, usual
from .conftest import say, settled, shown, toasts
from .data_reports import at_work

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """No engine is launched: what would be measured stands at once."""
    found: list[Asked] = []

    def start(who: list[Member], asked: Asked) -> Run:
        found.append(asked)
        return recorded(who)

    monkeypatch.setattr(compare, "start", start)
    return found


async def test_measuring_anew_beside_a_live_run_asks_first(begun: list[Asked]) -> None:
    who = of(usual()[:2])
    busy = trained("busy", number=9)
    say(busy, 99, "launched", pid=4242, host="here")  # resumed
    app = LoraTuiApp()
    with busy.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(f"{platform.node()} 4242\n")
        lock.flush()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, recorded(who, final="stopped"), who)
            await pilot.press("r")
            await settled(pilot)
            assert isinstance(app.screen, Confirm) and "busy is running" in shown(pilot)
            await pilot.press("n")
            await settled(pilot)
            assert not begun
            await pilot.press("r")
            await settled(pilot)
            await pilot.press("y")
            await settled(pilot)
            await ready(pilot)
            assert len(begun) == 1


async def test_only_the_comparison_itself_is_replaced(begun: list[Asked]) -> None:
    who = of(usual()[:2])
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        await pilot.press("g")
        await settled(pilot)
        assert isinstance(app.screen, LogScreen)
        compare_flows._replace(screen, who, Asked())
        await settled(pilot)
        fresh = await ready(pilot)
        shown_now = list(map(type, app.screen_stack))
        assert screen not in app.screen_stack and fresh is not screen
        assert shown_now[-1] is CompareScreen and LogScreen not in shown_now
        await pilot.press("q")
        await settled(pilot)
        compare_flows._replace(fresh, who, Asked())
        await settled(pilot)
        assert isinstance(app.screen, HomeScreen) and len(begun) == 1


async def test_one_that_hangs_is_killed_only_after_asking(
    begun: list[Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = of(usual()[:2])
    run = recorded(who, final="")
    killed: list[Run] = []
    monkeypatch.setattr(compare_flows, "_GRACE", 0.0)
    monkeypatch.setattr(control, "stop", lambda _: None)
    with at_work(run) as lock:

        def kill(run: Run) -> None:
            killed.append(run)
            lock.close()

        monkeypatch.setattr(control, "kill", kill)
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            screen = await opened(pilot, run, who)
            for answer in "ny":
                answered: list[bool] = []
                app.run_worker(_may_replace(screen, answered), group="dialogue")
                await settled(pilot)
                await pilot.press("y")
                await settled(pilot)
                assert isinstance(app.screen, Confirm) and "Kill it?" in shown(pilot)
                assert not killed
                await pilot.press(answer)
                await settled(pilot)
                assert answered == [answer == "y"]
            assert killed == [run]


async def _may_replace(screen: CompareScreen, answered: list[bool]) -> None:
    answered.append(await compare_flows._may_replace(screen.app, screen.frame))


async def test_no_advice_on_a_preset_that_is_wrong() -> None:
    item = next(one for one in all_knobs() if one.key == "lora.r")
    draft = Draft.of(Preset(name="demo")).with_text(item, "many")
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        flow = advice_flows.into_draft(app, draft, (), lambda _: None)
        app.run_worker(flow, group="dialogue")
        await settled(pilot)
        assert not app.screen.is_modal
        assert advice_words.CORRECT_FIRST[:25] in toasts(pilot)


async def test_a_system_prompt_of_several_lines_is_not_cut_in_silence() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        dialog = ChatSettingsDialog(ChatSettings())
        await app.push_screen(dialog)
        field = dialog.query_one("#system", Input)
        field.post_message(events.Paste("Be short.\nBe kind."))
        await settled(pilot)
        assert len(field.value) == 0 and "2 lines have no room" in toasts(pilot)
        field.post_message(events.Paste("Be short."))
        await settled(pilot)
        assert str(field.value) == "Be short."
