"""What holds on every screen: help, the palette, quitting, small and plain terminals."""

import threading

import pytest
from textual.app import App, ComposeResult
from textual.command import CommandPalette
from textual.pilot import Pilot

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.settings import Problem, SettingsError
from lora_tui.tui import failures, look, machine
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.help import HelpScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.key_bar import KeyBar

from .conftest import Maker, settled, shown

pytestmark = pytest.mark.usefixtures("shipped")


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


async def test_quit_is_immediate_when_nothing_runs(make_run: Maker) -> None:
    make_run("done", "finished")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await press(pilot, "q")
        assert not app.is_running or app._exit


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
async def test_quit_says_that_live_runs_go_on(key: str, make_run: Maker) -> None:
    make_run("one", "running")
    make_run("two", "starting", number=1)
    make_run("three", "finished", number=2)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await press(pilot, key)
        assert isinstance(app.screen, Confirm)
        assert "2 runs go on without this app" in shown(pilot)
        await press(pilot, "n")
        assert not app._exit
        await press(pilot, key)
        await press(pilot, "enter")
        assert app._exit


async def test_quit_says_of_a_held_run_that_it_waits(make_run: Maker) -> None:
    make_run("one", "queued")
    async with LoraTuiApp().run_test() as pilot:
        await settled(pilot)
        await press(pilot, "q")
        assert "1 run waits on" in shown(pilot) and "one (held)" in shown(pilot)


async def test_quit_names_five_runs_and_counts_the_others(make_run: Maker) -> None:
    for number in range(7):
        make_run(f"r{number}", "running", number=number)
    async with LoraTuiApp().run_test() as pilot:
        await settled(pilot)
        await press(pilot, "q")
        assert "7 runs go on" in shown(pilot) and "and 2 more" in shown(pilot)


async def test_quit_says_of_a_paused_run_that_it_waits(make_run: Maker) -> None:
    make_run("one", "paused")
    async with LoraTuiApp().run_test() as pilot:
        await settled(pilot)
        await press(pilot, "q")
        assert "1 paused run waits on, in memory" in shown(pilot)
        assert "one (paused)" in shown(pilot)
        await press(pilot, "n")
        make_run("two", "running", number=1)
        await press(pilot, "q")
        assert "1 run goes on without this app" in shown(pilot)
        assert "one (paused)" in shown(pilot)


async def test_quitting_with_unsaved_changes_says_what_is_lost() -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await press(pilot, "enter")
        await press(pilot, "2", "right", "ctrl+q")
        assert isinstance(app.screen, Confirm)
        assert "lora.method" in shown(pilot)
        await press(pilot, "n")
        assert isinstance(app.screen, PresetForm)


async def test_help_lists_the_keys_of_the_list_the_screen_and_the_app(make_run: Maker) -> None:
    make_run("live", "running")
    app = LoraTuiApp()
    async with app.run_test(size=(100, 50)) as pilot:
        await settled(pilot)
        await press(pilot, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        text = shown(pilot)
        assert "train – start a run of it now" in text
        assert "S" not in [line.split()[1] for line in text.splitlines() if len(line.split()) > 2]
        assert text.index("Here, where") < text.index("On this screen") < text.index("Everywhere")
        await press(pilot, "escape")
        await press(pilot, "tab")
        await press(pilot, "f1")
        assert "stop – end it after this step" in shown(pilot)
        await press(pilot, "slash", *"palett")
        assert "stop – end it" not in shown(pilot)
        await press(pilot, "escape")
        assert isinstance(app.screen, HelpScreen) and "stop – end it" in shown(pilot)
        await press(pilot, "escape")
        assert isinstance(app.screen, HomeScreen)


@pytest.mark.parametrize("key", ["question_mark", "f1"])
async def test_the_help_keys_work_in_dialogues_too(key: str, make_run: Maker) -> None:
    make_run("done", "finished")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await press(pilot, "tab", "x", key)
        assert isinstance(app.screen, HelpScreen)
        assert "delete" in shown(pilot)
        await press(pilot, "escape")
        assert isinstance(app.screen, Confirm)


async def test_a_worker_that_fails_every_second_says_so_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> None:
        raise OSError("the disk is gone")

    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        monkeypatch.setattr("lora_tui.tui.machine.facts", broken)
        for _ in range(3):
            app.ask_machine()
            await settled(pilot)
        assert len(app._notifications) == 1
    assert (locations.home() / "app.log").read_text().count("OSError: the disk is gone") == 1


def test_a_machine_that_cannot_be_asked_still_has_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert machine._cpu().startswith("3 cores")


async def test_facts_of_a_cancelled_worker_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        go_on = threading.Event()
        monkeypatch.setattr("lora_tui.tui.machine.facts", lambda: str(go_on.wait(180)) + " old")
        app.ask_machine()
        await pilot.pause(0.05)
        monkeypatch.setattr("lora_tui.tui.machine.facts", lambda: "new")
        app.ask_machine()
        await pilot.pause(0.05)
        go_on.set()
        await pilot.pause(0.1)
        assert app.machine == "new"


async def test_the_palette_finds_actions_presets_and_runs(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run("[b]odd[/b]", "finished")
    opened: list[object] = []
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: opened.append(run))
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await press(pilot, "colon")
        assert isinstance(app.screen, CommandPalette)
        await press(pilot, *"odd")
        assert "run [b]odd[/b], finished" in shown(pilot)
        await press(pilot, "enter")
        assert opened == [run]
        await press(pilot, "ctrl+p")
        await press(pilot, *"preset lora", "enter")
        assert isinstance(app.screen, PresetForm)
        await press(pilot, "ctrl+p")
        await press(pilot, *"diff", "enter")
        assert isinstance(app.screen, PresetForm)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (40, 12), (40, 10), (20, 5)])
async def test_every_screen_stands_at_any_size(size: tuple[int, int], make_run: Maker) -> None:
    make_run("live", "running")
    make_run("a name that is much too long for a narrow terminal", "failed", summary="x" * 300)
    app = LoraTuiApp()
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        assert shown(pilot).splitlines()[-1].endswith("? help")
        await press(pilot, "tab", "j")
        await press(pilot, "question_mark")
        await press(pilot, "escape")
        await press(pilot, "tab", "enter")
        assert isinstance(app.screen, PresetForm)
        await press(pilot, "4", "G", "enter", "q")
        await press(pilot, "n")
        await press(pilot, "escape")


async def test_a_narrow_terminal_shows_the_list_one_is_in(make_run: Maker) -> None:
    make_run("live", "running")
    app = LoraTuiApp()
    async with app.run_test(size=(60, 20)) as pilot:
        await settled(pilot)
        assert "demo" in shown(pilot) and "live" not in shown(pilot)
        await press(pilot, "tab")
        assert "● live" in shown(pilot)
        await pilot.resize_terminal(100, 30)
        await settled(pilot)
        assert "● live" in shown(pilot) and "Presets" in shown(pilot)


async def test_without_utf8_every_character_is_ascii(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    monkeypatch.setattr("lora_tui.tui.machine.facts", lambda: "2 cores")
    look.ascii_only.cache_clear()
    make_run("näme \x1b →", "finished", number=50)
    for number, state in enumerate(look.STATES):
        make_run(f"run-{number}", state, number=number, summary="Failed.")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        for keys in ([], ["tab"], ["question_mark"], ["escape"], ["tab", "enter"], ["4"], ["2"]):
            await press(pilot, *keys)
            odd = {character for character in shown(pilot) if not character.isascii()}
            assert not odd, keys
        await press(pilot, "right", "f")
        assert "lora  ->  full" in shown(pilot)


async def test_without_colours_the_cursor_has_a_mark(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    make_run("live", "running")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        assert "▸demo" in shown(pilot)
        await press(pilot, "tab")
        assert "▸ ● live" in shown(pilot) and "▸demo" not in shown(pilot)


async def test_an_error_with_many_lines_is_a_dialogue_and_never_markup() -> None:
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        failures.report(app, SettingsError("Wrong", [Problem("a", "[red]b[/]"), Problem("c", "d")]))
        await settled(pilot)
        assert isinstance(app.screen, Notice)
        assert "a: [red]b[/]" in shown(pilot)
        await press(pilot, "escape")
        failures.report(app, LoraTuiError("[bold]Short[/] \x1b[2J", "[/nothing]"))
        await settled(pilot)
        assert "[bold]Short[/]" in shown(pilot) and "[/nothing]" in shown(pilot)
        assert "\x1b" not in shown(pilot)


async def test_the_log_of_a_bug_is_private_text(own_home: object) -> None:
    said = failures.unexpected(ValueError("odd"))
    assert "ValueError" in said and "app.log says more" in said


async def test_the_key_bar_never_cuts_a_key_in_two() -> None:
    class Bar(App[None]):
        def compose(self) -> ComposeResult:
            yield KeyBar()

    app = Bar()
    for width in range(20, 90, 7):
        async with app.run_test(size=(width, 3)) as pilot:
            bar = app.query_one(KeyBar)
            bar.keys = tuple((key, "something") for key in "abcdef?")
            await pilot.pause()
            words = shown(pilot).split()
            assert words[-2:] == ["?", "something"]
            assert set(words[1::2]) == {"something"}
        app = Bar()
