"""A conversation on the Chat screen: how it goes on, what goes wrong, how it is opened and left."""

import platform
from collections.abc import Sequence
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lora_tui.core import members, prompts
from lora_tui.core.errors import BadInput
from lora_tui.core.members import BASE, Member
from lora_tui.tui import chat_flows
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.chat_watching import ChatWatch
from lora_tui.tui.screens.chat import ChatScreen
from lora_tui.tui.screens.chat_settings import ChatSettingsDialog
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.transcript import Transcript

from .chat_screens import SIZE, conversation, flat, heard, keys, prompt, typed
from .chats import THREE, adapter, answered, asked, event, loaded, opened, put, table
from .conftest import Maker, settled, shown, toasts
from .data_reports import until

# --- the conversation --------------------------------------------------------------------------


def long_talk(lines: int, *more: Any) -> list[Any]:
    text = "\n".join(f"line {at}" for at in range(lines))
    return [
        *loaded(THREE),
        asked(1, "Tell me", "r16-alpaca"),
        event("piece", number=1, id="r16-alpaca", text=text),
        *more,
    ]


@pytest.mark.usefixtures("by_hand")
async def test_it_follows_the_answer_but_not_who_has_scrolled_away() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        for lines in (5, 30, 47):
            put(screen, *long_talk(lines))
            await pilot.pause()
            assert f"line {lines - 1} " in shown(pilot) + " "
        await pilot.press("escape", "pageup", "up")
        await pilot.pause()
        place = screen.query_one(Transcript).scroll_offset.y
        put(screen, *long_talk(90))
        await pilot.pause()
        assert screen.query_one(Transcript).scroll_offset.y == place
        assert "line 89" not in shown(pilot)
        for lines in range(91, 95):  # out of sight: nothing is painted
            put(screen, *long_talk(lines))
            await pilot.pause()
            assert screen._requests.cost == 0
        await pilot.press("end")
        await pilot.pause()
        assert "line 89" in shown(pilot)
        put(screen, *long_talk(120))
        await pilot.pause()
        assert "line 119" in shown(pilot)
        await pilot.press("home")
        await pilot.pause()
        assert "› Tell me" in shown(pilot)


@pytest.mark.usefixtures("by_hand")
async def test_a_growing_answer_repaints_only_its_last_lines() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        put(screen, *long_talk(6))
        await pilot.pause()
        assert screen._requests.cost > 200
        put(screen, *long_talk(6, event("piece", number=1, id="r16-alpaca", text=" and more")))
        await pilot.pause()
        assert 0 < screen._requests.cost < 80
        put(screen, *long_talk(6, event("piece", number=1, id="r16-alpaca", text=" and more")))
        await pilot.pause()
        assert screen._requests.cost == 0


@pytest.mark.usefixtures("by_hand")
async def test_another_size_lays_it_out_anew() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *long_talk(60))
        await pilot.resize_terminal(120, 40)
        await pilot.pause(0.1)
        assert screen.query_one("#column", Painting).plain().startswith(" 0 base")
        assert "answers   greedy" in shown(pilot) and "line 59" in shown(pilot)
        await pilot.resize_terminal(40, 12)
        await pilot.pause(0.1)
        text = shown(pilot)
        assert "line 59" in text and "▸1 r16-alpaca" in text and "›" in text


@pytest.mark.usefixtures("by_hand")
async def test_a_new_conversation_and_the_old_one_back() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        one = [asked(1, "One?", BASE), answered(1, BASE, "I."), event("ready")]
        screen = await opened(pilot, THREE, *loaded(THREE), *one)
        await pilot.press("escape")
        assert "u" not in keys(screen)
        await pilot.press("n")
        assert "Nothing is asked yet." in conversation(screen)
        await pilot.press("u")
        assert "› One?" in conversation(screen)


@pytest.mark.usefixtures("by_hand")
async def test_the_last_prompt_is_kept_for_comparisons() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        await pilot.press("escape")
        assert "p" not in keys(screen)
        put(screen, *loaded(THREE), asked(1, "two\nlines", BASE), answered(1, BASE, "I."))
        await pilot.pause()
        await pilot.press("p")
        await settled(pilot)
        await pilot.press("p")
        await settled(pilot)
        assert prompts.read(prompts.kept()) == ["two\nlines"]
        assert "Kept for comparisons in" in toasts(pilot) and "kept already" in toasts(pilot)


@pytest.mark.usefixtures("by_hand")
async def test_settings_say_all_that_is_wrong_at_once_and_go_with_what_is_asked() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        heard(screen)
        await pilot.press("escape", "s")
        await settled(pilot)
        dialog = pilot.app.screen
        assert isinstance(dialog, ChatSettingsDialog)
        assert "Greedy: the likeliest token" in shown(pilot)
        wrong = {"temperature": "-1", "top_p": "2", "seed": "x", "max_new_tokens": "0"}
        for name, text in wrong.items():
            dialog.query_one(f"#{name}", Input).value = text
        await pilot.pause()
        says = shown(pilot)
        for name in ("temperature: -1", "top-p: 2", "seed: ", "max new tokens: 0"):
            assert name in says
        await pilot.press("enter")
        assert pilot.app.screen is dialog  # nothing was taken
        right = {"temperature": "0.7", "top_p": "0.9", "seed": "3", "max_new_tokens": "64"}
        for name, text in {**right, "system": 'Say "no".'}.items():
            dialog.query_one(f"#{name}", Input).value = text
        await pilot.pause()
        assert "Drawn by chance" in shown(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert "temperature 0.700, top-p 0.900, seed 3, at most 64 tokens" in shown(pilot)
        await typed(pilot, "ix", "enter")
        ((_, _, _, messages, settings),) = heard(screen)
        assert messages[0] == {"role": "system", "content": 'Say "no".'}
        assert settings == {"temperature": 0.7, "top_p": 0.9, "seed": 3, "max_new_tokens": 64}


# --- what goes wrong ---------------------------------------------------------------------------


async def test_an_engine_that_died_is_started_anew_with_the_conversation(
    by_hand: list[ChatWatch],
) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        said = [*loaded(THREE), asked(1, "One?", BASE), answered(1, BASE, "I."), event("ready")]
        screen = await opened(pilot, THREE, *said)
        heard(screen)
        await typed(pilot, "two", "enter")
        died = event("failed", summary="The GPU ran out of memory.", hint="Ask for less.")
        put(screen, *said, died)
        await pilot.pause()
        text = shown(pilot)
        assert "✗ failed" in text and "esc, then r starts the engine anew" in text
        assert "▌ The GPU ran out of memory." in text or "The GPU ran out of memory." in text
        assert "✗ not answered" in conversation(screen) and "0 base ■ gone" in text
        await typed(pilot, "three", "enter")
        assert "The engine is gone" in toasts(pilot) and prompt(screen).text == "three"
        old = screen._requests
        await pilot.press("escape", "r")
        assert old.is_set() and len(by_hand) == 2
        assert heard(screen) == [("use", "r16-alpaca")]
        put(screen, *loaded(THREE))
        assert [turn.prompt for turn in by_hand[1]._folding.now.turns] == ["One?", "two"]


@pytest.mark.usefixtures("by_hand")
async def test_frames_of_an_earlier_engine_are_not_shown() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE)
        old = screen._requests
        screen._start()
        screen.post_message(screen.Arrived(screen.frame, old))
        put(screen, *loaded(THREE))
        await pilot.pause()
        assert "✓ ready" in shown(pilot)


@pytest.mark.usefixtures("by_hand")
async def test_warnings_are_one_line_here_and_whole_behind_a_key() -> None:
    zero = "Its update is zero in every layer: it answers as the base does."
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, table("tuned"), *loaded(table("tuned")))
        await pilot.press("escape")
        assert "w" not in keys(screen)
        told = [*loaded(table("tuned")), event("attached", id="tuned", warnings=[zero])]
        put(screen, *told)
        await pilot.pause()
        assert "1 tuned ▲ look" in shown(pilot) and "Its update is zero" in shown(pilot)
        await pilot.press("w")
        await pilot.pause()
        assert zero in flat(pilot)


@pytest.mark.usefixtures("by_hand")
async def test_leaving_asks_only_when_something_was_said() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        await pilot.press("escape", "escape")
        await settled(pilot)
        assert isinstance(pilot.app.screen, HomeScreen) and screen._requests.is_set()
        said = [asked(1, "One?", BASE), answered(1, BASE, "I."), event("ready")]
        screen = await opened(pilot, THREE, *loaded(THREE), *said)
        await pilot.press("escape", "q")
        await settled(pilot)
        assert "No training run is touched." in flat(pilot)
        await pilot.press("n")
        await settled(pilot)
        assert not screen._requests.is_set()
        await pilot.press("q")
        await settled(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        assert screen._requests.is_set()


# --- opening -----------------------------------------------------------------------------------


async def open_with(pilot: Pilot[Any], who: Sequence[Member]) -> None:
    pilot.app.run_worker(chat_flows.open_chat(pilot.app, who), group="dialogue")
    await settled(pilot)


async def test_members_of_several_bases_are_chosen_from(by_hand: list[ChatWatch]) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        who = [adapter("here"), adapter("there", base="other/model"), adapter("more")]
        await open_with(pilot, [members.of_base(who[0]), *who])
        assert isinstance(pilot.app.screen, Choose)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        await settled(pilot)  # before it is left, it is composed
        screen = pilot.app.screen
        assert isinstance(screen, ChatScreen)
        assert [one.id for one in screen.session.members] == [BASE, "here", "more"]


async def test_a_live_run_is_named_before_the_chat_competes_with_it(
    by_hand: list[ChatWatch], make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "node", lambda: "here")  # where the run says it is
    make_run("training", "running")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await open_with(pilot, [adapter("tuned")])
        assert isinstance(pilot.app.screen, Confirm)
        assert "training is running on this machine" in shown(pilot)
        await pilot.press("n")
        await settled(pilot)
        assert isinstance(pilot.app.screen, HomeScreen) and not by_hand
        await open_with(pilot, [adapter("tuned")])
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChatScreen))
        await settled(pilot)  # before it is left, it is composed


async def test_nobody_cannot_be_talked_to() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        with pytest.raises(BadInput):
            await chat_flows.open_chat(pilot.app, [])
