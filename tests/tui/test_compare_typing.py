"""What is typed for a comparison, and how long answers are marked: nothing is lost or obeyed."""

import pytest
from textual import events

from lora_tui.core import prompts
from lora_tui.jobs.compare import Asked
from lora_tui.tui import compare_asking, compare_outputs
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask_lines import AskLines, Lines
from lora_tui.tui.screens.choose import Choose

PASTED = "one\x1b]0;owned\x07\ntwo \x1b[31mred\N{RIGHT-TO-LEFT OVERRIDE}"


async def test_a_paste_shows_nothing_a_terminal_obeys_and_stays_as_it_was() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = AskLines("Prompts", (), text="One a line.", needed="Type a prompt.")
        await app.push_screen(dialog)
        lines = dialog.query_one(Lines)
        app.post_message(events.Paste(PASTED))
        await pilot.pause()
        drawn = "".join(segment.text for y in range(8) for segment in lines.render_line(y))
        assert "two" in drawn and "\x1b" not in drawn and "\N{RIGHT-TO-LEFT OVERRIDE}" not in drawn
        assert lines.text == PASTED


async def test_prompts_of_several_lines_stay_among_the_typed() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        odd = ("one\nof two lines", " led by a blank", "two\u2028lines")
        before = Asked(prompts=(*odd, "plain"))
        found: list[Asked | None] = []

        async def ask() -> None:
            found.append(await compare_asking.other(app, before))

        app.run_worker(ask())
        await pilot.pause()
        await pilot.press("enter")  # typed here, as before
        await pilot.pause()
        assert app.screen.query_one(Lines).text == "plain"
        await pilot.press("ctrl+s")
        await pilot.pause()
        await pilot.press(*["enter"] * 6)
        await pilot.pause()
        (asked,) = found
        assert asked is not None and asked.prompts == (*odd, "plain")


@pytest.mark.parametrize("kept", ["", "{broken"])
async def test_broken_kept_prompts_keep_nobody_from_the_other_ways(kept: str) -> None:
    prompts.kept().parent.mkdir(parents=True)
    prompts.kept().write_text(kept, "utf-8")
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.run_worker(compare_asking.other(app, Asked()))
        await pilot.pause()
        assert isinstance(app.screen, Choose)


def test_an_answer_that_repeats_itself_is_not_compared_for_minutes() -> None:
    pieces, said = compare_outputs._compared(
        "to be or " * 3000, "or to be " * 3000, True, in_ascii=False
    )
    assert "too long to mark" in said
    assert "".join(text for text, _ in pieces) == "to be or " * 3000


def test_what_the_base_did_not_say_is_marked_word_by_word() -> None:
    pieces, _ = compare_outputs._compared(
        "Ice is  very cold.", "Ice is cold.", True, in_ascii=False
    )
    assert "".join(text for text, _ in pieces) == "Ice is  very cold."
    assert [text for text, role in pieces if role != "text"] == ["very"]
