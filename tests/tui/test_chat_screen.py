"""The chat by keys: what is asked of whom, what comes back, and engines that die in the middle."""

import platform
from collections.abc import Sequence
from typing import Any

import pytest
from textual import events
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
from lora_tui.tui.widgets.prompt_area import PromptArea
from lora_tui.tui.widgets.transcript import Transcript

from .chats import STARTED, THREE, adapter, answered, asked, event, loaded, opened, put, table
from .conftest import Maker, settled, shown, toasts
from .data_reports import until

SIZE = (80, 24)


class Heard:
    """In place of an engine: what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *what: self.said.append((name, *what))


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> list[ChatWatch]:
    """No engine is started: frames are put in by hand. Gives what was to follow one."""
    watches: list[ChatWatch] = []
    monkeypatch.setattr(ChatScreen, "follow_engine", lambda _, watch: watches.append(watch))
    return watches


def heard(screen: ChatScreen) -> list[tuple[Any, ...]]:
    """What the screen wants of its engine since it was asked last."""
    engine = Heard()
    for request in screen._requests.take():
        request(engine)  # type: ignore[arg-type]  # stands for a Talk
    return engine.said


def conversation(screen: ChatScreen) -> str:
    return screen.query_one(Transcript).plain()


def prompt(screen: ChatScreen) -> PromptArea:
    return screen.query_one(PromptArea)


def keys(screen: ChatScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


def flat(pilot: Pilot[Any]) -> str:
    """What is shown as one line of words, out of all boxes."""
    return " ".join(shown(pilot).replace("│", " ").split())


async def typed(pilot: Pilot[Any], text: str, *then: str) -> None:
    await pilot.press(*["space" if letter == " " else letter for letter in text], *then)
    await pilot.pause()


# --- asking ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("by_hand")
async def test_it_says_what_it_waits_for_and_what_to_do() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE)
        assert "starting the engine" in shown(pilot)
        put(screen, STARTED, seconds=4)
        await pilot.pause()
        text = shown(pilot)
        assert "loading the base… 4 s" in text and "0 base ◌ loading" in text
        assert "Nothing is asked yet." in text and "▸1 r16-alpaca ◌ waiting" in text
        put(screen, *loaded(THREE, ["r32-other"]))
        await pilot.pause()
        text = shown(pilot)
        assert "chat  demo · cpu · float32 · 5.3 MB" in text and "✓ ready" in text
        assert "3 r32-other ✗ refused" in text and "swapped in 18 ms" in text
        assert text.splitlines()[-1].split("  ")[-1].strip() == "f1 help"


@pytest.mark.usefixtures("by_hand")
async def test_enter_asks_the_marked_member_and_its_answer_grows() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        assert heard(screen) == [("use", "r16-alpaca")]
        await typed(pilot, "who", "enter")
        ((_, number, to, messages, _),) = heard(screen)
        assert (number, to, messages) == (1, ["r16-alpaca"], [{"role": "user", "content": "who"}])
        assert prompt(screen).text == "" and "› who" in conversation(screen)
        begun = [*loaded(THREE), asked(1, "who", "r16-alpaca")]
        put(screen, *begun, event("piece", number=1, id="r16-alpaca", text="I am"))
        await pilot.pause()
        assert "  I am" in conversation(screen) and "● answering" in shown(pilot)
        await typed(pilot, "again", "enter")
        assert "still answering" in toasts(pilot) and prompt(screen).text == "again"
        assert heard(screen) == []
        put(screen, *begun, answered(1, "r16-alpaca", "I am tuned."), event("ready"))
        await pilot.pause()
        assert "35.3 tokens/s · 12 tokens" in conversation(screen)
        await pilot.press("enter")
        assert [one["content"] for one in heard(screen)[0][3]] == ["who", "I am tuned.", "again"]


@pytest.mark.usefixtures("by_hand")
async def test_all_are_asked_by_a_chord_while_typing_and_by_a_plain_key_else() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE, ["r32-other"]))
        heard(screen)
        await typed(pilot, "a", "ctrl+t")
        everyone = (BASE, "r16-alpaca", "r8-pirate")
        assert heard(screen)[0][2] == everyone
        put(
            screen,
            *loaded(THREE, ["r32-other"]),
            asked(1, "a", *everyone),
            *(answered(1, id_, "b") for id_ in everyone),
        )
        await typed(pilot, "c", "escape", "a")
        assert heard(screen)[0][1:3] == (2, everyone)
        await pilot.press("escape")  # it is being answered: that ends it, and nothing else
        assert heard(screen) == [("cancel",)] and pilot.app.screen is screen
        await pilot.press("x")
        assert heard(screen) == [("cancel",)]


@pytest.mark.usefixtures("by_hand")
async def test_nothing_typed_is_not_asked() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        heard(screen)
        await typed(pilot, "  ", "enter", "escape", "a")
        assert heard(screen) == [] and "Type something" in toasts(pilot)
        assert prompt(screen).has_focus


@pytest.mark.usefixtures("by_hand")
async def test_numbers_swap_and_are_letters_of_a_prompt_while_one_types() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE, ["r32-other"]))
        heard(screen)
        await typed(pilot, "2", "tab")
        assert prompt(screen).text == "2" and heard(screen) == [("use", "r8-pirate")]
        assert "attaching 2 r8-pirate" in shown(pilot)
        await pilot.press("tab")  # past the one that was refused
        assert heard(screen) == [("use", BASE)]
        await pilot.press("escape", "1", "1", "i", "3")
        assert heard(screen) == [("use", "r16-alpaca")] and prompt(screen).text == "23"
        await pilot.press("alt+0")  # as escape and a number look that come in one burst
        assert heard(screen) == [("use", BASE)] and not prompt(screen).has_focus
        await pilot.press("3")
        assert isinstance(pilot.app.screen, Confirm)
        assert "size mismatch" in shown(pilot) and heard(screen) == []
        await pilot.press("n", "3", "y")  # what it lacked may be there by now
        await pilot.pause()
        assert heard(screen) == [("use", "r32-other")]


# --- what is typed -----------------------------------------------------------------------------


@pytest.mark.usefixtures("by_hand")
async def test_a_paste_keeps_its_lines_and_shows_nothing_a_terminal_obeys() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        heard(screen)
        pasted = "first\r\nsecond\x1b[31m\rthird [bold]x[/]\n漢字"
        await pilot.press("escape")
        pilot.app.post_message(events.Paste(pasted))
        await pilot.pause()
        kept = "first\nsecond\x1b[31m\nthird [bold]x[/]\n漢字"
        assert prompt(screen).text == kept and prompt(screen).has_focus
        assert "\x1b" not in shown(pilot) and "third [bold]x[/]" in shown(pilot)
        assert prompt(screen).size.height == 4
        pilot.app.post_message(events.Paste("\n".join(map(str, range(5000)))))
        await pilot.pause()
        assert prompt(screen).size.height == 6
        await pilot.press("enter")
        await pilot.pause()
        assert heard(screen)[0][3][0]["content"].startswith(kept)
        assert "lines more; all of it was asked" in conversation(screen)
        assert "\x1b" not in shown(pilot) and prompt(screen).size.height == 1


@pytest.mark.usefixtures("by_hand")
async def test_a_backslash_goes_on_in_a_new_line_and_up_brings_prompts_back() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, THREE, *loaded(THREE))
        heard(screen)
        await typed(pilot, "one", "backslash", "enter")
        await typed(pilot, "two", "ctrl+j")
        await typed(pilot, "x", "enter")
        assert heard(screen)[0][3][0]["content"] == "one\ntwo\nx"
        await typed(pilot, "draft", "up")
        assert prompt(screen).text == "one\ntwo\nx"
        await pilot.press("up")
        assert prompt(screen).text == "one\ntwo\nx"  # a line up in it
        await pilot.press("down", "down")
        assert prompt(screen).text == "draft"


@pytest.mark.usefixtures("by_hand")
async def test_help_says_what_the_keys_do_in_either_place() -> None:
    async with LoraTuiApp().run_test(size=(100, 40)) as pilot:
        await opened(pilot, THREE, *loaded(THREE))
        await pilot.press("f1")
        text = shown(pilot)
        assert "enter" in text and "send it to the marked member" in text
        assert "What stands here is what a member is given" in flat(pilot)
        assert "Cursor up" not in text
        await pilot.press("escape", "escape", "question_mark")
        text = shown(pilot)
        assert text.count("0-3") == 1 + 1  # once in the list, once in the footer below
        assert "put the last prompt among those to compare" not in text  # nothing is asked yet


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


async def test_nobody_cannot_be_talked_to() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        with pytest.raises(BadInput):
            await chat_flows.open_chat(pilot.app, [])
