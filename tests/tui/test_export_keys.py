"""The export's keys where they could mislead: in bursts, below dialogues, in narrow terminals."""

import threading
from contextlib import nullcontext
from pathlib import Path

import pytest

from lora_tui.core import events, export_files
from lora_tui.core.exporting import ExportPlan
from lora_tui.jobs import export
from lora_tui.tui import export_offer
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.export import ExportScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.page import PageScreen
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.type_list import TypeList

from .conftest import shown
from .data_reports import at_work, until
from .exports import keys, opened, press, ready, recorded, row, screen_of, starts, usual
from .merges import adapter

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ExportPlan]:
    """What would be exported."""
    return starts(monkeypatch)


@pytest.mark.parametrize("is_live", [False, True])
async def test_x_right_after_e_waits_for_what_is_known(
    started: list[ExportPlan], monkeypatch: pytest.MonkeyPatch, is_live: bool
) -> None:
    who, known, described = usual(), threading.Event(), export_offer.described
    run = recorded(who, final="" if is_live else "finished", until_=7)
    monkeypatch.setattr(export_offer, "described", lambda one: known.wait() and described(one))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(ExportScreen(who))
        await pilot.press("x")
        assert not started
        with at_work(run) if is_live else nullcontext():
            known.set()
            await ready(pilot)
            if is_live:
                assert "● writing 42%" in row(pilot, "q8_0") and not started
            else:
                await until(pilot, lambda: started)


async def test_a_look_that_breaks_leaves_the_keys_alive(
    started: list[ExportPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_offer, "described", lambda _: 1 // 0)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(ExportScreen(usual()))
        await press(pilot, "x", "x")
        await until(pilot, lambda: "It could not be looked at." in shown(pilot))
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen) and not started


async def test_x_with_known_problems_leaves_what_stands(started: list[ExportPlan]) -> None:
    who = usual()
    recorded(who, ("q8_0",))
    plan = ExportPlan(member=who, quants=("f16",), folder=str(export.folder_of(who)))
    plan.path("f16").write_text("of somebody else")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        screen = screen_of(pilot)
        screen.query_one(TypeList).highlighted = 2
        await press(pilot, "space")
        await ready(pilot)
        words = " ".join(shown(pilot).replace("▌", " ").split())
        assert "no export made it" in words, words
        await press(pilot, "x")
        assert not started and "✓ finished" in shown(pilot) and "ollama create" in shown(pilot)


async def test_a_tick_at_a_refused_type_can_be_taken_away_but_not_set() -> None:
    who = adapter("scaled", 2, use_rslora=True)
    recorded(who, ("lora",))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert screen.choice.quants == {"lora"} and screen.query_one(TypeList).chosen == "lora"
        await press(pilot, "space")
        assert not screen.choice.quants
        await press(pilot, "G", "space", "a")
        assert "lora" not in screen.choice.quants


async def test_the_footer_below_a_dialogue_is_that_of_the_screen() -> None:
    who = usual()
    with at_work(recorded(who, final="", until_=7)):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            screen = await opened(pilot, who)
            await press(pilot, "s")
            assert isinstance(pilot.app.screen, Confirm)
            screen.refresh_bindings()
            await pilot.pause()
            assert ("space", "tick") not in screen.query_one(KeyBar).keys


async def test_g_alone_opens_the_log() -> None:
    who = usual()
    recorded(who)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "l" not in keys(pilot)
        await press(pilot, "g")
        assert isinstance(pilot.app.screen, LogScreen)


async def test_what_matters_is_in_the_footer_of_a_narrow_terminal_too() -> None:
    who = usual()
    recorded(who, warnings=["It is measured on few rows."])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "w warnings" in shown(pilot).splitlines()[-1], "and x is the first"
        await pilot.resize_terminal(40, 12)
        await pilot.pause()
        assert shown(pilot).splitlines()[-1].strip().startswith("x export")


async def test_the_page_of_a_file_goes_with_the_export() -> None:
    who = usual()
    run = recorded(who, final="", until_=7)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, who)
            await press(pilot, "j", "enter")
            assert isinstance(pilot.app.screen, PageScreen) and "4 MB" not in shown(pilot)
            events.append(run.events, "file", quant="q8_0", bytes=9_870_000, types={}, seconds=30)
            proof = {"verdict": "pass", "figures": {"kl": 0.1}, "limit": {}, "reasons": []}
            events.append(run.events, "proof", quant="q8_0", **proof)
            await until(pilot, lambda: "9.87 MB" in shown(pilot) and "PASS" in shown(pilot))


# --- what it was made from ---------------------------------------------------------------------


async def test_files_of_an_adapter_that_has_changed_since_are_not_shown_as_proven() -> None:
    who = usual()
    recorded(who)
    weights = Path(who.path) / "adapter_model.safetensors"
    before = weights.read_bytes()
    weights.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        assert "▲ of an earlier adapter" in row(pilot, "q8_0") and "PASS" not in shown(pilot)
        assert "3 of an earlier adapter" in shown(pilot)
        weights.write_bytes(before)
        await press(pilot, "space")
        await ready(pilot)
        assert "✓ PASS" in row(pilot, "q8_0") and "earlier" not in shown(pilot)


def test_it_is_told_whether_the_adapter_or_its_base_is_another_and_what_is_unknown_is_the_same(
    tmp_path: Path,
) -> None:
    one, namesake = adapter("pirate", 1), adapter("pirate", 2, r=8)
    recorded(one, ("q8_0",), folder=tmp_path)
    kinds = (export_offer.Kind("q8_0", ""),)
    offer = export_offer.Offer(export_offer.Choice(folder=str(tmp_path)), kinds=kinds)

    def earlier(**changes: str) -> str:
        origin = {**export_offer.Origin(one).now(), **changes}
        return export_offer.looked_at(one, offer, origin).made["q8_0"].earlier

    assert earlier() == "" and earlier(model="x") == "base"
    assert earlier(model="x", adapter="y") == "adapter"
    other = export_offer.looked_at(namesake, offer, export_offer.Origin(namesake).now())
    assert other.made["q8_0"].earlier == "adapter"
    assert export_offer.looked_at(one, offer, {}).made["q8_0"].earlier == ""


def test_what_an_adapter_is_is_read_again_only_when_it_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    origin, read = export_offer.Origin(usual()), export_files.origin
    reads: list[Path] = []

    def reading(adapter: Path, model: Path) -> dict[str, str]:
        reads.append(adapter)
        return read(adapter, model)

    monkeypatch.setattr(export_files, "origin", reading)
    assert origin.now() == origin.now() != {} and len(reads) == 1
