"""Home by keys alone: what it lists, how one moves in it, and what it survives."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from lora_tui.core import locations, runs, text
from lora_tui.core.files import private_folder
from lora_tui.core.overview import Board, Overview
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.preset_list import PresetList
from lora_tui.tui.widgets.run_list import RunList

from .conftest import Maker, say, settled, shown, toasts

pytestmark = pytest.mark.usefixtures("shipped")


def home(app: LoraTuiApp) -> HomeScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, HomeScreen)
    return screen


async def test_an_empty_home_says_what_to_do_next() -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        text = shown(pilot)
        assert "No runs yet. Press t" in text
        assert "demo" in text
        assert "enter open  t train  d data  c check  n new" in text


async def test_live_runs_stand_on_top_and_the_rest_newest_first(make_run: Maker) -> None:
    make_run("old-live", "running", number=1)
    make_run("older", "finished", number=2)
    make_run("newer", "failed", number=3, summary="No room.", hint="Make room.")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        lines = shown(pilot).splitlines()
        names = [line for line in lines if "old-live" in line or "older" in line or "newer" in line]
        assert "● old-live" in names[0] and "running" in names[0] and "40/50" in names[0]
        assert "✗ newer" in names[1] and "failed" in names[1] and "No room." in names[1]
        assert "✓ older" in names[2] and "finished" in names[2] and "0.9" in names[2]


@pytest.mark.parametrize("loss", [0.00877, 0.0156, 1.1e-4, 12_345.0, 1.284])
async def test_a_loss_is_never_cut(loss: float, make_run: Maker) -> None:
    run = make_run("a-name-of-some-length", "running", steps=3)
    say(run, 60, "step", step=4, loss=loss, seconds=60.0)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert f" {text.number(loss)} " in shown(pilot)


async def test_a_run_that_moves_on_is_shown_without_a_key(make_run: Maker) -> None:
    run = make_run("r", "running", steps=3)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        assert "3/50" in shown(pilot)
        say(run, 60, "step", step=44, loss=0.25, seconds=60.0)
        home(app).look()
        await settled(pilot)
        assert "44/50" in shown(pilot)


async def test_an_idle_home_draws_nothing(make_run: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run("r", "finished")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        drawn: list[object] = []
        monkeypatch.setattr(RunList, "show", lambda *args, **kwargs: drawn.append(args))
        home(app).look(at_all=True)
        await settled(pilot)
        assert drawn == []


async def test_names_are_text_and_never_markup_or_control_codes(make_run: Maker) -> None:
    make_run("[red]x[/]", "finished")
    run = make_run("evil", "crashed", number=1)
    run.info.write_text('{"name": "a\\u001b[31mb\\u202ec", "created": 1}')
    app = LoraTuiApp()
    async with app.run_test(size=(120, 30)) as pilot:
        await settled(pilot)
        text = shown(pilot)
        assert "[red]x[/]" in text
        assert "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}c" in text
        assert "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00\xff\xfe",
        b'{"kind": "step", "step": "many"}\n{"kind',
        b"[" * 5000,
        b'{"name": "broken", "created": 1e300}',
        b'{"name": "broken", "created": Infinity}',
        b'{"name": "broken", "created": -1e18}',
    ],
    ids=["empty", "binary", "cut off", "deep", "far future", "infinite", "far past"],
)
async def test_garbage_in_a_run_directory_is_listed(content: bytes, make_run: Maker) -> None:
    run = make_run("broken", "queued")
    run.events.write_bytes(content)
    run.info.write_bytes(content)
    app = LoraTuiApp()
    async with app.run_test(size=(160, 30)) as pilot:
        await settled(pilot)
        await pilot.press("tab")
        await settled(pilot)
        assert run.id[:30] in shown(pilot)


async def test_a_broken_preset_is_listed_and_its_problems_are_told(shipped: Path) -> None:
    private_folder(locations.user_presets_folder())
    path = locations.user_presets_folder() / "mine.toml"
    path.write_text('"\\u001b[2J" = 1\n[lora]\nr = 0\nalpha = 3\n')
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        assert "✗ broken" in shown(pilot)
        await pilot.press("G")
        await settled(pilot)
        assert "t train" not in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, Notice)
        text = shown(pilot)
        assert "lora.r: 0 is out of range" in text
        assert "\N{REPLACEMENT CHARACTER}[2J: unknown" in text and "\x1b" not in text
        assert "lora.alpha: unknown; did you mean lora_alpha?" in text
        await pilot.press("escape")
        path.write_text("")
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, PresetForm)


async def test_a_preset_that_vanished_is_told_and_the_app_stays(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        (shipped / "demo.toml").unlink()
        await pilot.press("enter")
        await settled(pilot)
        assert "There is no preset at" in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert [row.entry.name for row in home(app).presets] == ["full", "lora"]


async def test_slash_narrows_both_lists_and_escape_shows_all(make_run: Maker) -> None:
    make_run("lorax", "finished")
    make_run("other", "finished", number=1)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("slash", *"LORA", "enter")
        await settled(pilot)
        assert home(app).query_one(PresetList).option_count == 1
        assert home(app).query_one(RunList).option_count == 1
        assert "Runs · 1 of 2 with LORA" in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert home(app).query_one(RunList).option_count == 2
        await pilot.press("slash", *"nothing-like-it")
        await settled(pilot)
        assert "esc shows all" in shown(pilot)


async def test_arrows_tab_and_vi_keys_move(make_run: Maker) -> None:
    for number in range(30):
        make_run(f"run-{number}", "finished", number=number, steps=1)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        presets, run_list = home(app).query_one(PresetList), home(app).query_one(RunList)
        await pilot.press("j")
        assert presets.highlighted == 1
        await pilot.press("right", "G")
        assert run_list.has_focus and run_list.highlighted == 29
        await pilot.press("g", "pagedown")
        assert 10 < (run_list.highlighted or 0) < 29
        await pilot.press("tab")
        assert presets.has_focus
        await pilot.press("k")
        assert presets.highlighted == 0


async def test_the_cursor_stays_on_its_run_when_others_come_and_go(make_run: Maker) -> None:
    for number in range(3):
        make_run(f"run-{number}", "finished", number=number, steps=1)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("tab", "down")
        run_list = home(app).query_one(RunList)
        chosen = run_list.chosen
        make_run("newest", "running", number=9, steps=1)
        home(app).look()
        await settled(pilot)
        assert run_list.option_count == 4
        assert run_list.chosen == chosen
        assert run_list.highlighted == 2


async def test_a_run_that_vanished_is_told(make_run: Maker) -> None:
    make_run("gone", "finished")
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("tab")
        home(app).set_reactive(HomeScreen.board, Board())
        await pilot.press("enter")
        await settled(pilot)
        assert "That run is gone." in toasts(pilot)
        assert isinstance(app.screen, HomeScreen)


async def test_a_wish_to_look_at_all_runs_outlasts_the_look_that_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[bool] = []
    go_on = threading.Event()

    def look(self: object, *, at_all: bool = False) -> list[Board]:
        looks.append(at_all)
        go_on.wait(180)
        return []

    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        monkeypatch.setattr(Overview, "look", look)
        home(app).look()
        home(app).look(at_all=True)
        home(app).look()
        go_on.set()
        await settled(pilot)
        assert looks[:2] == [False, True]


async def test_a_bug_in_a_worker_is_logged_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr("lora_tui.tui.screens.home.read_rows", broken)
    app = LoraTuiApp()
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await settled(pilot)
        assert "ZeroDivisionError" in toasts(pilot)
    log = (locations.home() / "app.log").read_text()
    assert "a bug of ours" in log and "Traceback" in log


async def test_a_thousand_runs_are_listed_without_waiting(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(60):
        make_run(f"run-{number}", "finished", number=number, steps=1)
    read: list[str] = []
    headline = runs.read_info

    def reading(run: runs.Run) -> dict[str, object]:
        read.append(run.id)
        return headline(run)

    monkeypatch.setattr(runs, "read_info", reading)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        assert home(app).query_one(RunList).option_count == 60
        assert read[0].endswith("run-59"), "what is on the screen is read first"


def test_nothing_heavy_is_imported_to_open_the_app(fresh_python: Callable[[str], str]) -> None:
    heavy = ("torch", "numpy", "plotext", "httpx", "rich.markdown", "subprocess_")
    code = f"import sys, lora_tui.tui.app; print([m for m in {heavy!r} if m in sys.modules])"
    assert fresh_python(code) == "[]"
