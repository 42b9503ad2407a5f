"""The four panes of the Compare screen: table, curves, outputs, how far each moved."""

import shutil

import pytest

from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.widgets.paper import Paper

from .compare_screens import SIZE, keys, page
from .comparisons import elsewhere, of, opened, ready, recorded, trained, usual
from .conftest import settled, shown, toasts

pytestmark = pytest.mark.usefixtures("shipped")


# --- the table --------------------------------------------------------------------------------


async def test_the_table_says_first_what_differs_then_what_it_cost_and_what_is_best() -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot, recorded(who), who)
        lines = shown(pilot).splitlines()
        heads = next(line for line in lines if "base" in line)
        names = ["base", "▸a", "r4-pirate", "b", "r8-pirate", "c", "full-pirate"]
        assert heads.split()[1:-1] == names
        text = page(screen)
        assert text.index("what differs") < text.index("lora.r") < text.index("cost and result")
        row = next(line for line in lines if "held-out loss  " in line)
        assert row.split()[3:] == ["2.910", "2.110", "1.710", "1.510★", "│"]
        row = next(line for line in lines if "trained parameters" in line)
        assert row.split()[3:] == ["-", "61.44k★", "122.9k", "3.67M", "│"]
        assert "r4-pirate: 57.1 % of full fine-tuning's gain at 1.7 % of the parameters." in text
        assert "Held-out loss: 32 rows of demo, 812 tokens · float32 · cpu" in text


async def test_twelve_members_go_by_sideways_and_their_labels_stay() -> None:
    who = of([trained(f"rank-{at}", number=at, lora__r=at) for at in range(1, 13)])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        assert "1-5 of 13" in shown(pilot) and "rank-12" not in shown(pilot)
        await pilot.press(*["right"] * 30)
        await ready(pilot)
        assert "▸l rank-12" in shown(pilot) and "of 13" in shown(pilot)
        assert "trained parameters" in shown(pilot) and "lora.r" in shown(pilot)
        assert "▸l" in shown(pilot).splitlines()[2]
        await pilot.press(*["left"] * 30)
        await ready(pilot)
        assert "▸base" in shown(pilot) and "v" not in keys(screen)


async def test_one_member_alone_stands_beside_its_base() -> None:
    who = of([trained("lonely")])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        assert "▸a lonely" in shown(pilot)
        assert "what differs" not in page(screen)


async def test_what_was_refused_and_what_changes_nothing_is_said_in_words() -> None:
    found = usual()
    who = [*of(found[:2]), elsewhere("/some/where/odd")]
    why = "It is for another base: its weights do not fit.", "Name one for demo."
    run = recorded(
        who,
        refused={"/some/where/odd": why},
        equal=[who[0].id],
        noted={who[1].id: "Half of its keys were not loaded."},
        warnings=["No row is held out, so no loss is measured."],
    )
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        text = page(screen)
        assert "✗ refused" in text and "▲ LoRA r4" in text
        said = " ".join(text.split())
        assert f"✗ c odd {why[0]} {why[1]}" in said
        assert "▲ b r8-pirate Half of its keys were not loaded." in said
        assert "It changes nothing: it answers exactly as the base does." in said
        assert "▲ No row is held out" in said
        assert "▲ 4 notes below the table" in shown(pilot)
        await pilot.press("3", "right", "right")
        await ready(pilot)
        assert "✗ It is for another base" in shown(pilot)
        await pilot.press("4")
        await ready(pilot)
        said = " ".join(page(screen).split())
        assert "It changes nothing" in said and "✗ refused: It is for another base" in said


async def test_long_values_are_shown_whole_and_names_are_text() -> None:
    names = ["q_proj", "k_proj", "v_proj", "o_proj"]
    some = trained("[red]x[/]\x1b[31m", number=1, lora__target_modules=names)
    other = trained("other", number=2, lora__target_modules=["q_proj"])
    who = of([some, other])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        assert "[red]x[/]\N{REPLACEMENT CHARACTER}" in page(screen)
        assert "\x1b" not in page(screen)
        assert all(name in page(screen) for name in names)


# --- curves -----------------------------------------------------------------------------------


async def test_curves_are_told_apart_by_letters_and_drawn_by_three_axes() -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        assert not {"l", "x", "z"} & keys(screen)
        await pilot.press("2")
        await ready(pilot)
        chart = ["".join(text for text, _ in row) for row in screen.frame.page[:-1]]
        assert all(sum(letter in line for line in chart) > 2 for letter in "abc")
        assert "a r4-pirate  0.6" in page(screen) and "by step" in page(screen)
        for key, says in (("x", "by tokens"), ("x", "by seconds"), ("z", "log scale")):
            await pilot.press(key)
            await ready(pilot)
            assert says in page(screen)
        await pilot.press("l", "x")
        await ready(pilot)
        assert "own held-out rows  by step" in page(screen)
        assert all(letter in page(screen) for letter in "abc")


async def test_runs_without_a_curve_say_why() -> None:
    found = usual()
    who = [*of(found), elsewhere("some/adapter")]
    run = recorded(who)
    shutil.rmtree(found[1].path)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        await pilot.press("2")
        await ready(pilot)
        text = page(screen)
        assert "b r8-pirate  its run was deleted" in text
        assert "d adapter  made elsewhere: no curve" in text
        await pilot.press("1", "right")
        await ready(pilot)
        assert "122.9k" in page(screen), "the comparison keeps what it knew of it"
        await pilot.press("v")
        await settled(pilot)
        assert "was deleted" in toasts(pilot)


# --- outputs ----------------------------------------------------------------------------------


def new_words(screen: CompareScreen) -> list[str]:
    return [text for row in screen.frame.page for text, role in row if role == "new"]


async def test_answers_stand_beside_the_bases_with_what_is_new_marked() -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        await pilot.press("3")
        await ready(pilot)
        text = shown(pilot)
        assert "prompt 1 of 3 · greedy, at most 64 tokens" in text
        assert "▸a r4-pirate  ≠ the base's" in text and "c full-pirate  ≠ the base's" in text
        assert new_words(screen)[:3] == ["Arr!", "black,", "matey!"]
        await pilot.resize_terminal(80, 16)
        await ready(pilot)
        assert "2 more" in shown(pilot)
        assert new_words(screen) == ["Arr!", "black,", "matey!"]
        await pilot.press("n", "right")
        await ready(pilot)
        assert "prompt 2 of 3" in shown(pilot)
        assert "Answer in one sentence." in shown(pilot), "line breaks are kept"
        assert new_words(screen) == ["Arr!", "the", "mammal!"]
        await pilot.press("n", "n", "n")
        await ready(pilot)
        assert "prompt 3 of 3" in shown(pilot)
        await pilot.press("N")
        await ready(pilot)
        assert "prompt 2 of 3" in shown(pilot)


async def test_where_two_columns_have_no_room_answers_stand_below_each_other() -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=(60, 30)) as pilot:
        screen = await opened(pilot, recorded(who), who)
        await pilot.press("3")
        await ready(pilot)
        text = page(screen)
        assert text.index("base\n") < text.index("a r4-pirate") < text.index("c full-pirate")
        await pilot.resize_terminal(120, 40)
        await ready(pilot)
        first = page(screen).splitlines()[3]
        assert "base" in first and "b r8-pirate" in first


async def test_long_odd_and_missing_answers_stand() -> None:
    who = of(usual())
    long = "\n".join(f"{number}  {'word ' * 30}" for number in range(60))
    odd = {who[0].id: long, who[1].id: "", who[2].id: "\x1b[2J\u202e👩‍👩‍👧 [b]x[/b]"}
    run = recorded(who, said=odd, prompts=["why? " * 200])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        await pilot.press("3")
        await ready(pilot)
        assert "…" in shown(pilot) and "the whole prompt" in page(screen)
        assert "59  word" in page(screen)
        assert "0  word" in shown(pilot)
        await pilot.press("pagedown", "pagedown")
        await pilot.pause()
        assert "0  word" not in shown(pilot) and "prompt 1 of 1" in shown(pilot)
        await pilot.press("right")
        await ready(pilot)
        assert "(it said nothing)" in page(screen)
        await pilot.press("right")
        await ready(pilot)
        assert "[b]x[/b]" in page(screen) and "\x1b" not in page(screen)
        assert all(len(line) <= 78 for line in page(screen).splitlines())


async def test_another_prompt_begins_at_its_top_and_another_member_stays_where_one_read() -> None:
    who = of(usual())
    long = "\n".join(f"line {number}" for number in range(90))
    run = recorded(who, said=dict.fromkeys((one.id for one in who), long))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        await pilot.press("3", "pagedown", "pagedown", "right")
        await ready(pilot)
        paper = screen.query_one(Paper)
        assert paper.scroll_offset.y > 10
        await pilot.press("n")
        await ready(pilot)
        assert paper.scroll_offset.y == 0


async def test_sampled_answers_say_so() -> None:
    who = of(usual())
    run = recorded(who, settings={"temperature": 0.7, "top_p": 0.9, "seed": 3})
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, run, who)
        await pilot.press("3")
        await ready(pilot)
        said = "temperature 0.7, top-p 0.9, seed 3, at most 64 tokens"
        assert said in shown(pilot)


# --- how far each moved -----------------------------------------------------------------------


async def test_how_far_each_moved_is_said_in_figures_and_by_layer() -> None:
    who = of(usual())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, recorded(who), who)
        await pilot.press("shift+tab")
        await ready(pilot)
        rows = page(screen).splitlines()
        assert rows[1].split() == ["▸a", "r4-pirate", "0.310", "3", "of", "3", "0.561", "0.88", "%"]
        heat = [line.partition("┤")[2] for line in rows if "┤" in line]
        assert [set(line) for line in heat] == [set("░▒"), set("▒▓"), set("▓█")]
        assert "█ to 2.6 %" in page(screen)
