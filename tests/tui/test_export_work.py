"""An export that is at work, and what is shown of one that has ended."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lora_tui.core import events, runs
from lora_tui.core.exporting import Exporting
from lora_tui.core.members import Member
from lora_tui.core.proofs import FAIL
from lora_tui.core.runs import Run
from lora_tui.jobs import control, export
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.export import ExportScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.page import PageScreen

from .conftest import settled, shown, toasts
from .data_reports import at_work, until
from .exports import keys, opened, press, proof, recorded, row, usual
from .merges import adapter

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)
USUAL = ("f16", "q8_0", "q4_k_m")


@pytest.fixture
def live() -> Iterator[tuple[Member, Run]]:
    """An export that has one file whole and proven, and the next half-written."""
    who = usual()
    run = recorded(who, final="", until_=7)
    with at_work(run):
        yield who, run


async def test_a_live_export_is_shown_as_it_goes(live: tuple[Member, Run]) -> None:
    who, run = live
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert "✓ PASS" in row(pilot, "f16") and "● writing 42%" in row(pilot, "q8_0")
        assert "◌ waiting" in row(pilot, "q4_k_m") and "● quantising q8_0…" in shown(pilot)
        assert not {"x", "r", "o", "a", "space"} & keys(pilot) and {"s", "g"} <= keys(pilot)
        await press(pilot, "space", "a")
        assert screen.choice.quants == frozenset(USUAL), "what is at work cannot be changed"
        events.append(run.events, "doing", quant="q8_0", what="proving q8_0", state="proving")
        await until(pilot, lambda: "● proving" in row(pilot, "q8_0"))
        await press(pilot, "g")
        assert isinstance(pilot.app.screen, LogScreen)
        events.append(run.events, "doing", quant="q4_k_m", what="quantising", state="writing")
        await press(pilot, "q")
        await until(pilot, lambda: "● writing" in row(pilot, "q4_k_m"))


async def test_it_is_stopped_only_after_asking_and_killed_when_it_hangs(
    live: tuple[Member, Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    who, run = live
    done: list[str] = []
    monkeypatch.setattr(control, "stop", lambda _: done.append("stop"))
    monkeypatch.setattr(control, "kill", lambda _: done.append("kill"))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await press(pilot, "s", "n")
        assert not done
        await press(pilot, "s", "y")
        assert done == ["stop"]
        events.append(run.events, "stopping")
        await until(pilot, lambda: "it stops" in shown(pilot))
        await press(pilot, "s")
        assert "Kill it?" in shown(pilot)
        await press(pilot, "y")
        assert done == ["stop", "kill"]


async def test_leaving_lets_it_go_on_and_its_threads_end(live: tuple[Member, Run]) -> None:
    who, run = live
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen) and runs.is_alive(run)
        await until(pilot, lambda: not [one for one in pilot.app.workers if one.group == "follow"])
        await opened(pilot, who)
        assert "● writing 42%" in row(pilot, "q8_0")


async def test_frames_of_an_earlier_export_are_not_shown(live: tuple[Member, Run]) -> None:
    who, _ = live
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        screen.post_message(screen.Arrived(Frame(Exporting(doing="old")), None, threading.Event()))
        await pilot.pause()
        assert screen.frame is not None and screen.frame.now.doing != "old"


async def test_quitting_says_that_it_goes_on(live: tuple[Member, Run]) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, Confirm) and "exported" in shown(pilot)


@pytest.mark.parametrize("size", [(40, 12), (20, 6), (200, 60)])
async def test_any_size_is_survived(live: tuple[Member, Run], size: tuple[int, int]) -> None:
    who, _ = live
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert "f16" in shown(pilot)


# --- after -------------------------------------------------------------------------------------


async def test_enter_opens_the_proof_of_a_file_with_all_its_figures() -> None:
    who = usual()
    recorded(who, proofs={"q8_0": proof("q8_0", FAIL, "3 of 812 token ids differ.")})
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "2 PASS, 1 FAIL" in shown(pilot)
        await press(pilot, "j", "enter")
        assert isinstance(pilot.app.screen, PageScreen)
        said = shown(pilot)
        assert "✗ FAIL" in said and "3 of 812 token ids differ." in said
        assert "KL from torch" in said and "at most 0.00100" in said and "q8_0 29, f32 9" in said
        await pilot.resize_terminal(50, 20)
        await pilot.pause()
        assert "3 of 812 token ids differ." in shown(pilot)
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, ExportScreen)


async def test_y_copies_a_path_or_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    who = usual()
    recorded(who)
    copied: list[str] = []
    monkeypatch.setattr(LoraTuiApp, "copy_to_clipboard", lambda _, text: copied.append(text))
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await opened(pilot, who)
        await press(pilot, "y")
        assert isinstance(pilot.app.screen, Choose)
        await press(pilot, "escape")
        assert not copied
        await press(pilot, "y", "enter", "y", "j", "j", "enter")
        assert copied[0].startswith("ollama create r4-pirate -f /")
        assert copied[1] == str(export.folder_of(who) / "r4-pirate-F16.gguf")
        assert copied[1] in toasts(pilot)


async def test_warnings_are_read_by_w() -> None:
    who = usual()
    recorded(who, warnings=["It is measured on [b]few[/b] rows."])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await press(pilot, "w")
        assert isinstance(pilot.app.screen, Notice) and "on [b]few[/b] rows" in shown(pilot)


@pytest.mark.parametrize("final", ["failed", "", "stopped"])
async def test_how_it_ended_early_is_said_with_what_to_do(final: str) -> None:
    who = usual()
    said: dict[str, Any] = {"summary": "The disk is full.", "hint": "Free some room."}
    said = said if final == "failed" else {}
    run = recorded(who, final=final, until_=7, **said)
    run.log.write_text("loading\nggml_abort: \x1b[31mno memory\n")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await until(pilot, lambda: "✓ PASS" in row(pilot, "f16"))
        words = {
            "failed": ("The disk is full.", "Free some room.", "✗ failed"),
            "": ("The engine died", "x goes on with it.", "ggml_abort", "✗ crashed"),
            "stopped": ("files that were whole are kept", "x goes on with it.", "■ stopped"),
        }[final]
        assert all(word in shown(pilot) for word in words), shown(pilot)
        assert "■ not made" in row(pilot, "q8_0") and "x" in keys(pilot)


async def test_damaged_events_and_options_are_passed_over() -> None:
    who = usual()
    run = recorded(who)
    runs.add_to_info(run, options={"member": who.document(), "quants": 3})
    with run.events.open("a") as file:
        file.write('{"t": 1, "kind": "proof", "quant": "q8_0", "verdict": "maybe"}\n{"t": 1, "k')
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert screen.choice.quants == frozenset(USUAL) and "✓ PASS" in row(pilot, "q8_0")


async def test_hostile_and_very_long_names_are_cut_and_obeyed_by_nobody() -> None:
    who = adapter("[red]x[/red] \x1b[31m" + "语" * 90)
    recorded(who, ("q8_0",))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "\x1b" not in shown(pilot) and "[red]x[/red]" in shown(pilot)
        assert "✓ PASS" in row(pilot, "q8_0")
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, PageScreen) and "\x1b" not in shown(pilot)
