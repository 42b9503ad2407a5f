"""From one comparison to another: members, prompts, what is asked, where it is kept."""

import json
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from lora_tui.core import comparison_files, locations, prompts
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import compare, control
from lora_tui.jobs.compare import Asked
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.ask_lines import AskLines
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen

from .compare_screens import SIZE, keys
from .comparisons import of, opened, ready, recorded, trained, usual
from .conftest import settled, shown, toasts
from .data_reports import at_work

pytestmark = pytest.mark.usefixtures("shipped")


# --- other comparisons ------------------------------------------------------------------------


async def test_the_engine_is_asked_for_what_is_compared(
    asked_for: list[tuple[list[Member], Asked]],
) -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(CompareScreen(who, Asked()))
        screen = await ready(pilot)
        assert asked_for == [(who, Asked())]
        assert "✓ finished" in shown(pilot) and screen.frame.run is not None


async def test_what_cannot_start_is_told_and_the_names_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> Run:
        raise LoraTuiError("No run directory can be made.", "Is there room?")

    monkeypatch.setattr(compare, "start", refuse)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(CompareScreen(of(usual()), Asked()))
        screen = await ready(pilot)
        assert "No run directory can be made." in shown(pilot) and "Is there room?" in shown(pilot)
        assert "a r4-pirate" in shown(pilot) and not {"S", "g", "w"} & keys(screen)


async def test_an_adapter_is_added_and_compared_anew(
    asked_for: list[tuple[list[Member], Asked]], tmp_path: Path
) -> None:
    who = of(usual()[:2])
    folder = tmp_path / "made-elsewhere"
    folder.mkdir()
    base = str(locations.assets_folder() / "demo-model")
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base}))
    first = recorded(who, settings={"max_new_tokens": 9})
    app = LoraTuiApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await opened(pilot, first, who)
        await pilot.press("plus")
        await settled(pilot)
        assert isinstance(app.screen, Ask)
        app.screen.query_one(Input).value = "nothing-like-it"
        await pilot.press("enter")
        await settled(pilot)
        assert "There is no run" in shown(pilot) and not asked_for
        assert app.screen.query_one(Input).value == "nothing-like-it"  # it stays, to be mended
        app.screen.query_one(Input).value = str(folder)
        await pilot.press("enter")
        await settled(pilot)
        await ready(pilot)
        ((asked_members, asked),) = asked_for
        assert [one.path for one in asked_members][2:] == [str(folder)]
        assert asked.max_new_tokens == 9 and asked.preset is not None
        assert "c made-elsewhere" in shown(pilot)
        await pilot.press("plus")
        await settled(pilot)
        app.screen.query_one(Input).value = str(folder)
        await pilot.press("enter")
        await settled(pilot)
        assert "in this comparison already" in shown(pilot)
        await pilot.press("escape", "q")
        await settled(pilot)
        assert isinstance(app.screen, HomeScreen)


async def test_prompts_are_typed_or_read_from_a_file(
    asked_for: list[tuple[list[Member], Asked]], tmp_path: Path
) -> None:
    who = of(usual()[:2])
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, recorded(who), who)
        await pilot.press("p")
        await settled(pilot)
        assert "held-out rows" in shown(pilot) and "from chats" not in shown(pilot)
        await pilot.press("j", "enter")
        await settled(pilot)
        assert isinstance(app.screen, AskLines)
        await pilot.press("ctrl+s")
        assert "Type a prompt." in shown(pilot)
        app.screen.query_one(TextArea).text = "One?\n\n Two? \n"
        await pilot.press("ctrl+s")
        await settled(pilot)
        assert isinstance(app.screen, Ask) and "Ask 2 prompts" in shown(pilot)
        fields = list(app.screen.query(Input))
        fields[1].value = "hot"
        await pilot.press("enter")
        assert "temperature:" in shown(pilot) and isinstance(app.screen, Ask)
        fields[0].value, fields[1].value = "12", "0.5"
        await pilot.press("enter")
        await settled(pilot)
        await ready(pilot)
        asked = asked_for[0][1]
        assert (asked.prompts, asked.max_new_tokens) == (("One?", "Two?"), 12)
        assert asked.temperature == 0.5
        file = tmp_path / "prompts.txt"
        file.write_text("Three?\n")
        await pilot.press("p")
        await settled(pilot)
        await pilot.press("G", "enter")
        await settled(pilot)
        app.screen.query_one(Input).value = str(tmp_path / "gone")
        await pilot.press("enter")
        await settled(pilot)
        assert "cannot be read" in shown(pilot) and app.screen.query_one(Input).value
        app.screen.query_one(Input).value = str(file)
        await pilot.press("enter")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        await ready(pilot)
        assert asked_for[-1][1].prompts == ("Three?",)


async def test_prompts_kept_from_chats_and_held_out_rows_are_asked_too(
    asked_for: list[tuple[list[Member], Asked]],
) -> None:
    who = of(usual()[:2])
    prompts.add("Kept?")
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, recorded(who), who)
        await pilot.press("p")
        await settled(pilot)
        assert "kept from chats" in shown(pilot)
        await pilot.press("G", "enter")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        await ready(pilot)
        assert asked_for[-1][1].prompts == ("Kept?",)
        await pilot.press("p")
        await settled(pilot)
        await pilot.press("g", "enter")
        await settled(pilot)
        app.screen.query(Input).first().value = "5"
        await pilot.press("enter")
        await settled(pilot)
        await ready(pilot)
        assert not asked_for[-1][1].prompts and asked_for[-1][1].number == 5


async def test_another_one_first_stops_what_is_still_measured(
    asked_for: list[tuple[list[Member], Asked]], monkeypatch: pytest.MonkeyPatch
) -> None:
    who = of(usual()[:2])
    stopped: list[Run] = []
    run = recorded(who, final="")
    with at_work(run) as lock:

        def stop_it(run: Run) -> None:
            stopped.append(run)
            lock.close()  # its engine is gone: the next one may have its memory

        monkeypatch.setattr(control, "stop", stop_it)
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, run, who)
            more = trained("more", number=20)
            await pilot.press("plus")
            await settled(pilot)
            app.screen.query_one(Input).value = more.id
            await pilot.press("enter")
            await settled(pilot)
            await pilot.press("n")
            await settled(pilot)
            assert not stopped and not asked_for
            await pilot.press("plus")
            await settled(pilot)
            app.screen.query_one(Input).value = more.id
            await pilot.press("enter")
            await settled(pilot)
            assert isinstance(app.screen, Confirm) and "still measured" in shown(pilot)
            await pilot.press("y")
            await settled(pilot)
            await ready(pilot)
            assert stopped == [run] and len(asked_for) == 1


async def test_where_it_is_kept_is_said_and_copied() -> None:
    who = of(usual())
    run = recorded(who)
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, run, who)
        await pilot.press("w")
        await settled(pilot)
        assert str(run.path) in toasts(pilot) and comparison_files.MARKDOWN in toasts(pilot)
        assert app.clipboard == str(run.path)


async def test_deleting_asks_first_and_leaves_the_runs() -> None:
    found = usual()
    run = recorded(of(found))
    app = LoraTuiApp()
    async with app.run_test(size=SIZE) as pilot:
        await opened(pilot, run, of(found))
        await pilot.press("D")
        await settled(pilot)
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await settled(pilot)
        assert isinstance(app.screen, HomeScreen) and not run.path.exists()
        assert all(one.path.is_dir() for one in found)


async def test_advice_knows_what_was_compared() -> None:
    found = usual()
    who = of(found)
    run = recorded(who, equal=[who[0].id])
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        await opened(pilot, run, who)
        await pilot.press("v")
        await settled(pilot)
        assert "base" in shown(pilot).lower() and pilot.app.screen.is_modal
        assert "equal" in shown(pilot)
