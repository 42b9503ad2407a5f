"""The chat by keys: what is asked of whom, what comes back, and engines that die in the middle."""

import pytest
from textual import events

from lora_tui.core.members import BASE
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.confirm import Confirm

from .chat_screens import SIZE, conversation, flat, heard, prompt, typed
from .chats import STARTED, THREE, answered, asked, event, loaded, opened, put
from .conftest import shown, toasts

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
        await pilot.press("escape", "0")
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
        pilot.app.post_message(events.Paste(f"{pasted}\r\n"))
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
