"""One run on the screen: every key, at every size."""

from collections.abc import Callable

import pytest

from lora_tui.core.runs import Run
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.widgets.metric_table import MetricTable

from .conftest import say, shown
from .training_screens import SIZE, drawn, eventually, figures, train


async def test_the_curve_and_its_scale_are_chosen_by_keys(screen_of: Callable[..., Run]) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        for curve, title in (
            ("learning_rate", "learning rate"),
            ("grad_norm", "gradient norm"),
            ("speed", "tokens/s"),
            ("loss", "loss"),
        ):
            await pilot.press("l")
            await drawn(pilot, lambda frame, curve=curve: frame.options.curve == curve)  # type: ignore[misc]  # bound at once
            assert shown(pilot).splitlines()[1].startswith(f"┌─ {title} ─")
        await pilot.press("z")
        await drawn(pilot, lambda frame: frame.options.log)
        assert "loss, log scale" in shown(pilot)


async def test_enter_gives_the_chart_all_the_room_and_takes_it_back(
    screen_of: Callable[..., Run],
) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        before = (await drawn(pilot)).options.width
        await pilot.press("enter")
        full = await drawn(pilot, lambda frame: frame.options.width != before)
        assert full.options.width == 78 and "tokens/s" not in shown(pilot)
        await pilot.press("enter")
        await drawn(pilot, lambda frame: frame.options.width == before)
        assert "tokens/s" in shown(pilot)


async def test_a_tiny_terminal_shows_the_chart_or_the_figures(
    screen_of: Callable[..., Run],
) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=(40, 12)) as pilot:
        await drawn(pilot)
        assert "─ loss ─" in shown(pilot) and "of 500" not in shown(pilot)
        await pilot.press("enter")
        await pilot.pause()
        assert "─ loss ─" not in shown(pilot) and "312  of 500" in shown(pilot)


@pytest.mark.parametrize("size", [(40, 10), (20, 5), (10, 4), (200, 60)])
async def test_any_size_is_survived(size: tuple[int, int], screen_of: Callable[..., Run]) -> None:
    async with LoraTuiApp(open_run=screen_of()).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.resize_terminal(*size)
        await drawn(pilot)
        await pilot.press("l", "z", "enter")
        await drawn(pilot)


async def test_warnings_are_one_line_and_all_on_a_key(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    say(run, 200, "warning", text="first [b]warning[/b]")
    say(run, 201, "warning", text="second\x1b[2J warning")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert "▲ 2 warnings  second\ufffd[2J warning" in shown(pilot)
        await pilot.press("w")
        await pilot.pause()
        assert isinstance(pilot.app.screen, Notice)
        assert "first [b]warning[/b]" in shown(pilot)


async def test_samples_are_shown_as_text(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("x")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, Notice), "there is nothing to show yet"
        say(run, 200, "sample", step=300, prompt="Who?", base="A model.", tuned="[b]Arr[/b]\x07")
        await drawn(pilot, lambda frame: bool(frame.snapshot.samples))
        await pilot.press("x")
        await pilot.pause()
        text = shown(pilot)
        assert "Who?" in text and "A model." in text and "[b]Arr[/b]\ufffd" in text


async def test_the_log_is_one_key_away_and_back_leads_back(screen_of: Callable[..., Run]) -> None:
    app = LoraTuiApp(open_run=screen_of())
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("g")
        await pilot.pause()
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert app.screen is app.screen_stack[1]
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, HomeScreen)


async def test_nothing_is_painted_under_another_screen(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = screen_of(steps=20)
    app = LoraTuiApp(open_run=run)
    async with app.run_test(size=SIZE) as pilot:
        await drawn(pilot)
        screen = app.screen_stack[1]
        assert isinstance(screen, TrainingScreen)
        await pilot.press("g")
        await pilot.pause()
        painted: list[object] = []
        monkeypatch.setattr(MetricTable, "paint", lambda self, rows: painted.append(rows))
        train(run, 40, first=21)
        await eventually(pilot, lambda: bool(screen._latest and screen._latest.snapshot.step == 40))
        assert painted == []
        await pilot.press("q")
        await eventually(pilot, lambda: bool(screen.frame and screen.frame.snapshot.step == 40))
        assert painted


async def test_an_ascii_terminal_gets_ascii_only(
    screen_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    run = screen_of()
    say(run, 200, "warning", text="careful")
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        assert shown(pilot).isascii()
        await pilot.press("z")
        await drawn(pilot, lambda frame: frame.options.log)
        assert shown(pilot).isascii()


async def test_p_pauses_a_run_and_lets_it_go_on(screen_of: Callable[..., Run]) -> None:
    run = screen_of()
    async with LoraTuiApp(open_run=run).run_test(size=SIZE) as pilot:
        await drawn(pilot)
        await pilot.press("p")
        await eventually(pilot, lambda: "asked to pause: the step ends, then" in shown(pilot))
        assert run.pause.exists()
        say(run, 400.0, "paused", step=312)
        await eventually(
            pilot, lambda: "paused: all stays in memory  p or R goes on" in shown(pilot)
        )
        assert "‖ paused" in shown(pilot).splitlines()[0] and "ends" not in figures(pilot)
        await eventually(
            pilot,
            lambda: "R resume" in (keys := shown(pilot).splitlines()[-1]) and "p pause" not in keys,
        )
        await pilot.press("p")
        await eventually(pilot, lambda: not run.pause.exists())
        say(run, 460.0, "resumed", step=312, waited=60.0)
        await drawn(pilot, lambda frame: frame.state == "running")
        assert "paused" not in shown(pilot)
