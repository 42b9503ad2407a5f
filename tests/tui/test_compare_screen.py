"""A comparison by keys: every pane, every state it can be in, and whatever its files hold."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, TextArea

from lora_tui.core import comparison_files, events, locations, prompts, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import compare, stop
from lora_tui.jobs.compare import Asked
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.compare_watching import CompareWatch, Frame
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.ask_lines import AskLines
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.paper import Paper

from .comparisons import elsewhere, of, opened, ready, recorded, screen_of, trained, usual
from .conftest import settled, shown, toasts
from .data_reports import at_work, until

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)


def page(screen: CompareScreen) -> str:
    """All of the page, and what stands on top of it."""
    return "\n".join(
        "".join(text for text, _ in row) for row in (*screen.frame.head, *screen.frame.page)
    )


def keys(screen: CompareScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


def frames(run: Run, who: Sequence[Member], *looks: Look) -> list[Frame]:
    """What the thread hands over, one look after the other, without a screen."""
    found: list[Frame] = []
    looking = Latest(looks[0])
    waiting = list(looks[1:])

    def take(frame: Frame) -> None:
        found.append(frame)
        if frame.state in {"running", "starting"} or frame.look != looking.value:
            return
        if waiting:
            looking.want(waiting.pop(0))
        else:
            looking.set()

    CompareWatch(who, run, looking, take).run()
    return found


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Member], Asked]]:
    """No engine is launched: what would be measured is recorded, and stands at once."""
    found: list[tuple[list[Member], Asked]] = []

    def start(who: Sequence[Member], asked: Asked) -> Run:
        found.append((list(who), asked))
        return recorded(list(who), prompts=asked.prompts or ("A held-out question?",))

    monkeypatch.setattr(compare, "start", start)
    return found


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


# --- what goes on -----------------------------------------------------------------------------


async def test_a_comparison_at_work_is_shown_as_it_grows_and_goes_on_when_left() -> None:
    who = of(usual())
    run = recorded(who, final="", until_=3)
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            screen = await opened(pilot, run, who)
            assert "starting the engine…" in shown(pilot) or "●" in shown(pilot)
            assert "trained parameters" in page(screen), "what files say is there at once"
            assert "leaving lets it go on" in shown(pilot) and "S stop" in shown(pilot)
            events.append(run.events, "doing", id=who[1].id, what="KL from the base")
            events.append(run.events, "measured", id=who[0].id, held_out_loss=1.234)
            await until(pilot, lambda: "1.234" in page(screen))
            assert "● b r8-pirate: KL from the base…" in shown(pilot)
            assert "● running" in shown(pilot)
            await pilot.press("q")
            await settled(pilot)
            assert isinstance(app.screen, HomeScreen) and runs.is_alive(run)


async def test_quitting_says_that_what_is_measured_goes_on() -> None:
    run = recorded(of(usual()), final="")
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, run)
            await pilot.press("ctrl+q")
            await settled(pilot)
            assert "1 run goes on without this app" in shown(pilot) and run.id in shown(pilot)


async def test_one_that_ended_early_is_measured_anew(
    asked_for: list[tuple[list[Member], Asked]],
) -> None:
    who = of(usual())
    run = recorded(who, final="stopped", until_=4, settings={"number": 7})
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, run)
        assert "r anew" in shown(pilot)
        await pilot.press("r")
        await settled(pilot)
        screen = await ready(pilot)
        assert [(one[0], one[1].number) for one in asked_for] == [(who, 7)]
        assert "r" not in keys(screen) and screen.frame.run != run


async def test_stopping_asks_first(monkeypatch: pytest.MonkeyPatch) -> None:
    who = of(usual())
    stopped: list[Run] = []
    monkeypatch.setattr(stop, "stop", stopped.append)
    run = recorded(who, final="")
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            await opened(pilot, run, who)
            await pilot.press("S")
            await settled(pilot)
            assert isinstance(app.screen, Confirm)
            await pilot.press("n", "S")
            await settled(pilot)
            assert not stopped
            await pilot.press("y")
            await settled(pilot)
            assert stopped == [run]


@pytest.mark.parametrize(
    ("final", "last", "says"),
    [
        ("failed", {"summary": "The base is gone.", "hint": "Fetch it."}, "The base is gone."),
        ("stopped", {}, "It was stopped: what was measured before is kept."),
        ("", {}, "killed from outside, or out of memory"),
    ],
)
async def test_how_it_ended_is_said_with_what_to_do(
    final: str, last: dict[str, Any], says: str
) -> None:
    who = of(usual())
    run = recorded(who, final=final, until_=6, **last)
    run.log.write_text("one\nKilled by the kernel\n")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        assert says in " ".join(shown(pilot).split())
        assert ("Killed by the kernel" in shown(pilot)) is (not final)
        assert "r4-pirate" in shown(pilot) and {"r", "g"} <= keys(screen)
        await pilot.press("g")
        await settled(pilot)
        assert isinstance(pilot.app.screen, LogScreen)


def test_garbage_among_the_events_hurts_nobody() -> None:
    who = of(usual())
    run = recorded(who)
    odd = [
        {"kind": "output", "prompt": 99, "id": "x", "text": "y"},
        {"kind": "output"},
        {"kind": "members", "members": [{}]},
        {"kind": "prompts", "prompts": 3},
    ]
    with run.events.open("a") as file:
        file.write("".join(json.dumps(one) + "\n" for one in odd) + '{"kind": "outp')
    looks = [Look(pane=pane, width=76, height=18) for pane in ("table", "outputs", "moved")]
    found = frames(run, who, *looks)
    assert [one.look for one in found][-1] == looks[-1]
    assert "r4-pirate" in str(found[-1].page)


async def test_before_any_event_the_names_stand() -> None:
    who = of(usual())
    run = recorded(who, final="", until_=0)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, run, who)
            assert "a r4-pirate" in shown(pilot) and "starting the engine…" in shown(pilot)
            for key, says in (("3", "not chosen yet"), ("4", "-"), ("2", "0.6")):
                await pilot.press(key)
                await ready(pilot)
                assert says in page(screen_of(pilot))


async def test_a_comparison_deleted_meanwhile_says_so() -> None:
    who = of(usual())
    run = recorded(who, final="")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        with at_work(run):
            await opened(pilot, run, who)
            shutil.rmtree(run.path)
        await until(pilot, lambda: "it was deleted" in shown(pilot))


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

        monkeypatch.setattr(stop, "stop", stop_it)
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


async def test_in_ascii_everything_is_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    who = of(usual())
    run = recorded(who, equal=[who[0].id], warnings=["Something."])
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, run, who)
        for key in "1234":
            await pilot.press(key)
            await ready(pilot)
            assert page(screen).isascii()
            assert all(line.isascii() for line in shown(pilot).splitlines()[1:])
        await pilot.press("3", "right")
        await ready(pilot)
        assert "[Arr!]" in page(screen)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (60, 20), (200, 60)])
async def test_every_pane_stands_at_any_size(size: tuple[int, int]) -> None:
    who = of(usual())
    run = recorded(who)
    async with LoraTuiApp().run_test(size=size) as pilot:
        screen = await opened(pilot, run, who)
        for key in "1234":
            await pilot.press(key, "right")
            await ready(pilot)
            assert screen.frame.page and not pilot.app._notifications


def test_opening_the_app_loads_no_comparison(fresh_python: Callable[[str], str]) -> None:
    late = ("plotext", "lora_tui.tui.screens.compare", "lora_tui.tui.compare_flows")
    code = f"import sys, lora_tui.tui.app; print([m for m in {late!r} if m in sys.modules])"
    assert fresh_python(code) == "[]"
