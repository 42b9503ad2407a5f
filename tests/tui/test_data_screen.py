"""The data screen by keys: a row at a time, the report, its remedies, and what may go wrong."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from lora_tui.core import locations, preset_files, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.pages import Page
from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import launch, stop
from lora_tui.tui import histogram, look, row_text
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.data_frames import Frame, Room, Wish
from lora_tui.tui.data_watching import DataWatch
from lora_tui.tui.histogram import Lengths
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.data import DataScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.wanting import Wishes
from lora_tui.tui.widgets.paper import Paper
from tools.terminal import APP, Terminal

from .conftest import settled, shown, toasts
from .data_reports import (
    LONGEST,
    PRESET,
    at_work,
    data_screen,
    page,
    pages,
    ready,
    report,
    tell,
    until,
    written,
)

SIZE = (80, 24)


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Preset]]:
    """Hands out reports written by hand in place of jobs; gives the presets they were asked for."""

    def hand_out(*made: Run) -> list[Preset]:
        asked: list[Preset] = []

        def start(preset: Preset, **how: Any) -> Run:
            asked.append(preset)
            return made[min(len(asked), len(made)) - 1]

        monkeypatch.setattr(launch, "start", start)
        return asked

    return hand_out


async def opened(pilot: Pilot[Any], preset: Preset = PRESET) -> DataScreen:
    """The data screen of a shipped preset, once the report is there."""
    await settled(pilot)
    entry = Entry("demo", Path("demo.toml"), shipped=True, preset=preset)
    await pilot.app.push_screen(DataScreen(entry, preset))
    return await ready(pilot)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def at_row(pilot: Pilot[Any], number: int, *, raw: bool = False) -> str:
    """Wait for a row; its text."""
    screen = data_screen(pilot)

    def is_there() -> bool:
        row = screen.frame.row
        return row is not None and row.number == number - 1 and row.is_raw == raw

    await until(pilot, is_there)
    await pilot.pause()
    return screen.query_one("#text", Paper).plain()


# --- the report --------------------------------------------------------------------------------


async def test_the_report_says_what_is_odd_before_its_figures(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        text = shown(pilot)
        lines = text.splitlines()
        assert "demo  data" in lines[0] and "[figures] rows" in lines[1]
        assert lines[2].startswith("│ ▲ 20.0 % of the rows are longer than 64 tokens")
        assert "rows by tokens" in text and "│ max_seq_length 64" in text
        assert "1 raise max_seq_length to 71 (p99)  2 leave long rows out" in text
        facts = data_screen(pilot).query_one("#facts", Paper).plain()
        assert "source    chats.jsonl" in facts
        assert "rows      6: 4 to train, 1 held out, 1 left out" in facts
        assert lines[-1].endswith("? help") and "tab rows" in lines[-1] and "q back" in lines[-1]


async def test_the_halves_stand_side_by_side_where_there_is_room(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        assert "Figures" in shown(pilot) and "row 1 of 6" in shown(pilot)
        await pilot.resize_terminal(80, 24)
        await ready(pilot)
        assert "[figures] rows" in shown(pilot) and "row 1 of 6" not in shown(pilot)


async def test_a_report_without_oddities_says_so(reports: Any) -> None:
    reports(written(pages()[:2], warnings=[], remedies=[], dropped={}, truncated=0))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "✓ nothing odd was found" in shown(pilot)
        assert "1 raise" not in shown(pilot)


async def test_when_no_row_is_kept_it_is_said_first_and_in_red(reports: Any) -> None:
    none = [Page(0, "row 1", {"a": ""}, left="empty answer")]
    said = "No row can be trained on."
    empty = {"width": 1, "counts": [], "above": 0}
    reports(written(none, kept=0, warnings=[said], histogram=empty, remedies=[]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert f"✗ {said}" in shown(pilot)
        await press(pilot, "tab")
        await at_row(pilot, 1, raw=True)
        assert "✗ left out: empty answer" in shown(pilot)


async def test_an_empty_source_stands_too(reports: Any) -> None:
    reports(written([], "failed", summary="x.jsonl has no rows.", hint="Write some."))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "✗ x.jsonl has no rows." in shown(pilot) and "Write some." in shown(pilot)
        await press(pilot, "tab", "n", "o", "v", "home", "end")
        assert "[rows]" in shown(pilot)


# --- rows --------------------------------------------------------------------------------------


async def test_the_first_rows_are_there_before_anything_is_read(reports: Any) -> None:
    run = written(final="")
    for name in ("rows.jsonl", "rows.index"):
        (run.path / name).unlink()
    reports(run)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await settled(pilot)
            entry = Entry("demo", Path("demo.toml"), shipped=True, preset=PRESET)
            await pilot.app.push_screen(DataScreen(entry, PRESET))
            await until(pilot, lambda: "the first 6 rows, as they came" in shown(pilot))
            assert "question  What colour is tar?" in shown(pilot)
            tell(run, "progress", done=12345, total=100000)
            await until(pilot, lambda: "reading 12,345 of 100,000" in shown(pilot))
            await press(pilot, "tab", "n")
            assert "mammal" in await at_row(pilot, 2, raw=True)
            assert "row 2 of the first 6" in shown(pilot)


async def test_trained_text_is_marked_by_more_than_colour(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "tab")
        text = await at_row(pilot, 1)
        assert text.splitlines()[-2:] == [
            "  <|im_start|>assistant",
            "┃ The colour of tar is black.<|im_end|>",
        ]
        assert "┃ trained  not trained  ╳ cut off" in shown(pilot)
        looks = data_screen(pilot).query_one("#text", Paper)
        assert looks._look("trained").bold and looks._look("lost").strike


async def test_what_is_cut_off_is_marked_where_the_cut_is(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "tab", "n", "n")
        lines = (await at_row(pilot, 3)).splitlines()
        place = next(at for at, line in enumerate(lines) if "cut here" in line)
        assert lines[place - 1].startswith("┃") and lines[place - 1].endswith("boiled")
        assert all(line.startswith("╳") for line in lines[place + 1 :])
        assert f"first {LONGEST} tokens" in lines[place]
        assert "▲ its last 7 tokens are cut off" in shown(pilot)


async def test_every_key_moves_to_the_row_it_says(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "n")
        await at_row(pilot, 1)  # the first n shows the rows
        for key, number in (("n", 2), ("right", 3), ("p", 2), ("left", 1), ("p", 1)):
            await press(pilot, key)
            await at_row(pilot, number)
        await press(pilot, "end")
        await at_row(pilot, 6)
        await press(pilot, "n")
        await at_row(pilot, 6)
        await press(pilot, "home")
        await at_row(pilot, 1)
        await press(pilot, "g", "2")
        assert isinstance(pilot.app.screen, Ask)
        await press(pilot, "x", "enter")
        assert "A row has a number" in shown(pilot)
        await press(pilot, "backspace", "enter")
        await at_row(pilot, 2)
        await press(pilot, "g", *"999", "enter")
        await at_row(pilot, 6)


async def test_odd_rows_are_found_in_a_circle_with_their_reasons(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        for number, says in (
            (2, "▲ holds <|im_end|>"),
            (3, "cut off"),
            (4, "✗ left out: empty answer"),
            (5, "▲ a copy of a row before it · a training row asks the same"),
            (2, "▲ holds"),
        ):
            await press(pilot, "o")
            await at_row(pilot, number, raw=number == 4)
            assert says in shown(pilot)
        await press(pilot, "O")
        await at_row(pilot, 5)
        assert "held out" in shown(pilot)


def test_wishes_that_come_together_are_all_fulfilled(reports: Any) -> None:
    reports(written())
    frames: list[Frame] = []
    wishes = Wishes(Wish("room", room=Room(60, 60, 8)))
    for _ in range(2):
        wishes._waiting.put(Wish("odd", 1))  # the one that is cut, the one that is left out
    thread = threading.Thread(target=DataWatch(PRESET, wishes, frames.append).run)
    thread.start()
    deadline = time.monotonic() + 20
    while not (frames and frames[-1].row and frames[-1].row.number == 3):
        assert time.monotonic() < deadline, frames[-1:]
        time.sleep(0.01)
    wishes.set()
    thread.join(10)
    assert not thread.is_alive()


async def test_a_row_that_is_not_kept_is_told_and_its_neighbour_shown(reports: Any) -> None:
    reports(written([*pages()[:3], pages()[5]]))
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await opened(pilot)
        await press(pilot, "g", "5", "enter")
        await at_row(pilot, 6)
        await until(pilot, lambda: "Row 5 is not kept to look at" in toasts(pilot))


async def test_odd_rows_found_at_the_end_move_nobody(reports: Any) -> None:
    run = written(final="")
    index = (run.path / "rows.index").read_bytes()
    late = index[16:32]  # row 2 comes after all others
    (run.path / "rows.index").write_bytes(index[:16] + index[32:])
    reports(run)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await settled(pilot)
            entry = Entry("demo", Path("demo.toml"), shipped=True, preset=PRESET)
            await pilot.app.push_screen(DataScreen(entry, PRESET))
            await until(pilot, lambda: data_screen(pilot).frame.row)
            await press(pilot, "end")
            await at_row(pilot, 6)
            with (run.path / "rows.index").open("ab") as file:
                file.write(late)
            run.report.write_text(json.dumps(report()))
            tell(run, "progress", done=6, total=6)
            await until(pilot, lambda: "of 6 " in shown(pilot))
            await at_row(pilot, 6)
            await press(pilot, "p", "p", "p", "p")
            await at_row(pilot, 2)


async def test_no_odd_row_is_told(reports: Any) -> None:
    none: dict[str, Any] = {"count": 0, "rows": [], "numbers": []}
    reports(
        written(
            pages()[:2], dropped={}, truncated=0, duplicates=none, overlap=none, special_tokens={}
        )
    )
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await opened(pilot)
        await press(pilot, "o")
        await until(pilot, lambda: "No row is odd." in toasts(pilot))


async def test_a_row_is_shown_as_it_came_and_as_it_is_trained_on(reports: Any) -> None:
    reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "v")
        text = await at_row(pilot, 1, raw=True)
        assert text.splitlines()[:2] == ["question", "  What colour is tar?"]
        assert "as it came" in shown(pilot)
        await press(pilot, "v")
        assert "<|im_start|>" in await at_row(pilot, 1)


async def test_a_long_row_is_scrolled_and_another_begins_at_its_top(reports: Any) -> None:
    long = page(0, "x", "\n".join(f"line {number}" for number in range(200)))
    reports(written([long, *pages()[1:]]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "tab")
        await at_row(pilot, 1)
        await press(pilot, "pagedown", "j", "down")
        assert "line 20" in shown(pilot) and "<|im_start|>" not in shown(pilot)
        await press(pilot, "n")
        await at_row(pilot, 2)
        assert "<|im_start|>system" in shown(pilot)


# --- text that is none of the terminal's business ----------------------------------------------

_EVIL = (
    "\x1b]0;PWNED\x07\x1b[2J\x1b[31mred[/] [bold]b[/] \u202egnp\u2066.exe \x00\t|"
    "日本語日本語 e" + "\u0301" * 40 + " 🇩🇪 👍🏽 ❤️ 👩‍💻 \r\n" + "w" * 10_000 + "\x9b31m"
)


@given(st.text(), st.integers(2, 40))
def test_any_text_is_calm_and_fits(text: str, width: int) -> None:
    safe = row_text.calm(text + _EVIL[:120])
    assert all(character.isprintable() or character == "\n" for character in safe)
    for line in safe.split("\n"):
        assert cell_len(line) == sum(map(cell_len, line))
        pieces = list(row_text.wrapped(line, width))
        assert all(cell_len(piece) <= width for piece in pieces)
        assert "".join(pieces).replace(" ", "") == line.replace(" ", "")


def test_a_row_of_anything_is_laid_out_in_its_width() -> None:
    evil = page(0, _EVIL, _EVIL)
    odd = {_EVIL: _EVIL, "nested": [{"role": "user", "content": _EVIL}], "deep": {"a": [1, None]}}
    rows = [
        *row_text.rendered(replace(evil, cut=len(evil.text) - 200), 60, 64),
        *row_text.raw(odd, 60),
        *row_text.first_rows([odd, {}], 60),
    ]
    for row in rows:
        line = "".join(text for text, _ in row)
        assert cell_len(line) <= 60 and line.isprintable()


def test_a_row_that_is_longer_than_can_be_read_is_cut_short() -> None:
    rows = row_text.raw({"a": [str(number) for number in range(100_000)]}, 60)
    assert len(rows) < 5000
    assert row_text.raw({}, 60) == ((("(an empty row)", "muted"),),)


def test_hostile_rows_do_not_disturb_a_real_terminal(tmp_path: Path) -> None:
    source = tmp_path / f"rows{'x' * 120}.jsonl"
    rows = [{"question": _EVIL, "answer": _EVIL}] * 3
    source.write_text("\n".join(map(json.dumps, rows)))
    preset_files.save(
        changed(Preset(), {"data.source": str(source), "model.max_seq_length": 8192}), "evil"
    )
    with Terminal(APP, size=(80, 24)) as terminal:
        terminal.wait_for("evil")
        terminal.press("Gd")
        for keys, says in (("", "as they came"), ("", "tokens"), ("\t", "trained"), ("v", "came")):
            terminal.press(keys)
            terminal.wait_for(says)
            terminal.pump(0.7)
            assert b"\x1b]0;" not in terminal.raw and b"\x1b[31m" not in terminal.raw
            lines = terminal.text.splitlines()
            assert lines[1].startswith("┌") and lines[1].endswith("┐"), terminal.text
            body = [line for line in lines[2:22] if not line.startswith("└")]
            assert all(line.startswith("│") and line.endswith("│") for line in body), terminal.text
        assert "␛]0;PWNED␇" in terminal.text


# --- remedies and the preset -------------------------------------------------------------------


async def test_a_remedy_is_one_key_and_the_report_is_made_anew(reports: Any) -> None:
    asked = reports(written(), written(remedies=[], warnings=[]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await press(pilot, "9", "1")
        await until(pilot, lambda: len(asked) == 2)
        await ready(pilot)
        assert asked[1].model.max_seq_length == 71
        assert "model.max_seq_length  64 → 71" in shown(pilot)
        assert "unsaved" in shown(pilot).splitlines()[0] and "s save" in shown(pilot)
        assert screen.unsaved == "model.max_seq_length"
        await press(pilot, "u")
        await until(pilot, lambda: len(asked) == 3)
        assert asked[2] == PRESET and not screen.unsaved


async def test_reading_anew_stays_at_the_row(reports: Any) -> None:
    asked = reports(written(), written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "end", "r")
        await until(pilot, lambda: len(asked) == 2)
        await ready(pilot)
        await at_row(pilot, 6)


async def test_a_column_is_mapped_in_two_choices(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "m")
        assert isinstance(pilot.app.screen, Choose)
        assert "completion what is answered: trained on" in shown(pilot)
        assert "→ answer" in shown(pilot)
        await press(pilot, "j", "j", "enter")
        assert "Which column is the completion?" in shown(pilot)
        await press(pilot, "k", "enter")
        await until(pilot, lambda: len(asked) == 2)
        assert asked[1].data.columns == ("prompt=question", "completion=question")
        await press(pilot, "m", "enter", "enter")  # messages, the first column
        await until(pilot, lambda: len(asked) == 3)
        assert asked[2].data.columns == ("messages=question",)
        await press(pilot, "m", "escape")
        assert len(asked) == 3


async def test_leaving_asks_about_what_was_changed(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "q")
        assert "Unsaved changes" in shown(pilot) and "data.too_long" in shown(pilot)
        await press(pilot, "escape")
        assert pilot.app.screen is screen
        await press(pilot, "q", "enter")
        assert isinstance(pilot.app.screen, Ask)
        await press(pilot, "enter")
        assert isinstance(pilot.app.screen, HomeScreen)
    assert preset_files.find("my-demo").data.too_long == "drop"


async def test_saved_changes_are_not_asked_about(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "s", "enter")
        assert "my-demo  data" in shown(pilot) and "unsaved" not in shown(pilot)
        await press(pilot, "escape")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_train_takes_the_changed_preset(
    reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: None)
    monkeypatch.setattr(launch, "located", lambda preset: preset)
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        await press(pilot, "2", "t")
        assert "Train demo" in shown(pilot)
        await press(pilot, "enter")
    assert asked[-1].data.too_long == "drop" and len(asked) == 3


@pytest.mark.usefixtures("shipped")
async def test_the_form_goes_on_with_what_was_changed_in_its_data(reports: Any) -> None:
    asked = reports(written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "enter", "2", "right", "d")
        await ready(pilot)
        assert asked[0].lora.method == "full", "the draft, not the file"
        await press(pilot, "2")
        await until(pilot, lambda: len(asked) == 2)
        await press(pilot, "escape")
        form = cast("PresetForm", pilot.app.screen)
        assert form.draft.preset.data.too_long == "drop"
        assert form.unsaved == "lora.method, data.too_long"
        await press(pilot, "d")
        await ready(pilot)
        await press(pilot, "1")
        await until(pilot, lambda: len(asked) == 4)
        await press(pilot, "s", "enter", "escape")
        assert pilot.app.screen_stack[-1] is form
        assert "my-demo  saved" in shown(pilot) and not form.unsaved


@pytest.mark.usefixtures("shipped")
async def test_home_says_what_is_wrong_with_a_path_and_opens_nothing() -> None:
    wrong = changed(Preset(), {"data.source": "/no/such.jsonl"})
    preset_files.save(wrong, "wrong")
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await settled(pilot)
        assert "d data" in shown(pilot)
        await press(pilot, "G", "d")
        assert isinstance(pilot.app.screen, HomeScreen)
        assert 'there is no "/no/such.jsonl"' in toasts(pilot)


# --- what may go wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("final", "says"),
    [
        ("failed", ["✗ The columns a, b do not fit.", "Name them.", "m says which column is what"]),
        ("", ["✗ The reading was ended from outside.", "Killed by the kernel"]),
    ],
)
async def test_a_report_that_failed_says_why_and_what_to_do(
    final: str, says: list[str], reports: Any
) -> None:
    run = written(final=final, summary="The columns a, b do not fit.", hint="Name them.")
    run.log.write_text("Killed by the kernel\n")
    asked = reports(run, written())
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot)
        for words in [*says, "r reads anew"]:
            assert words in shown(pilot)
        assert "Traceback" not in shown(pilot)
        await press(pilot, "r")
        await until(pilot, lambda: len(asked) == 2)
        await until(pilot, lambda: screen.frame.findings)
        assert not screen.frame.failure


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"rows": 1}'])
async def test_a_report_that_is_garbage_is_told(text: str, reports: Any) -> None:
    run = written()
    run.report.write_text(text)
    (run.path / "rows.jsonl").write_text("garbage\n" * 100)
    reports(run)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "✗ The report cannot be read." in shown(pilot)
        await press(pilot, "tab", "n", "o")
        assert "this row cannot be read any more" in shown(pilot)


async def test_a_job_that_cannot_start_says_so_in_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def start(*_: Any, **__: Any) -> Run:
        raise BadInput("data.source: there is no [red].", "Correct the path.")

    monkeypatch.setattr(launch, "start", start)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        assert "✗ data.source: there is no [red]." in shown(pilot)
        await press(pilot, "tab", "n", "tab", "q")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_leaving_and_reading_anew_kill_a_job_at_work(
    reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[Run] = []
    monkeypatch.setattr(stop, "kill", killed.append)
    first, second = written(final=""), written(final="")
    asked = reports(first, second)
    with at_work(first), at_work(second):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await settled(pilot)
            entry = Entry("demo", Path("demo.toml"), shipped=True, preset=PRESET)
            screen = DataScreen(entry, PRESET)
            await pilot.app.push_screen(screen)
            await until(pilot, lambda: screen.frame.row)
            await press(pilot, "r")
            await until(pilot, lambda: killed == [first] and len(asked) == 2)
            await until(pilot, lambda: screen.frame.row)
            await press(pilot, "escape")
            await until(pilot, lambda: killed == [first, second])


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (40, 12), (40, 10), (20, 5)])
async def test_it_stands_at_any_size(size: tuple[int, int], reports: Any) -> None:
    reports(written(source="/a/long/path" * 30, warnings=["a b " * 200] * 12))
    async with LoraTuiApp().run_test(size=size) as pilot:
        await opened(pilot)
        assert shown(pilot).splitlines()[-1].endswith("? help")
        await press(pilot, "j", "pagedown", "tab", "n", "v", "o", "tab")
        assert shown(pilot).splitlines()[-1].endswith("? help")


async def test_without_utf8_every_character_is_ascii(
    reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    monkeypatch.setattr("lora_tui.tui.machine.facts", lambda: "2 cores")
    look.ascii_only.cache_clear()
    reports(written([*pages(), page(6, _EVIL, _EVIL)]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        for keys in ([], ["tab"], ["o"], ["o"], ["o"], ["end"], ["v"], ["m"]):
            await press(pilot, *keys)
            await pilot.pause(0.2)
            odd = {character for character in shown(pilot) if not character.isascii()}
            assert not odd, keys
        await press(pilot, "escape", "home")
        assert "| trained  not trained  x cut off" in shown(pilot) or "as it came" in shown(pilot)


# --- the bars ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", [(76, 8), (20, 5), (200, 30), (12, 5)])
def test_bars_fill_their_room_exactly(
    size: tuple[int, int], ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", str(int(ascii_only)))
    look.ascii_only.cache_clear()
    width, height = size
    rows = histogram.draw(Lengths.of(report()), width, height, ascii_only=ascii_only)
    lines = ["".join(text for text, _ in row) for row in rows]
    assert len(lines) == height and all(len(line) <= width for line in lines)
    assert "\n".join(lines).isascii() or not ascii_only
    mark = "|" if ascii_only else "│"
    roles = [(text, role) for row in rows[1:-2] for text, role in row]
    assert (mark, "strong") in roles
    assert any(role == "bad" for _, role in roles) or width < 20


@pytest.mark.parametrize(
    ("counts", "width", "cut"),
    [([], 1, 10), ([0, 0], 1, 1), ([5], 1, 1000), ([10**12, 0, 1], 10**6, 8), ([1] * 241, 7, 300)],
)
def test_bars_of_odd_reports(counts: list[int], width: int, cut: int) -> None:
    found = Lengths(width, tuple(counts), 0, cut)
    for size in ((76, 8), (4, 2), (0, 0), (-1, -1)):
        rows = histogram.draw(found, *size, ascii_only=True)
        assert bool(rows) == (any(counts) and size[0] > 10)


# --- a real job --------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_file_with_columns_of_its_own_is_read_once_they_are_mapped(tmp_path: Path) -> None:
    source = tmp_path / "own.jsonl"
    rows = [{"frage": f"Wie viel ist {n} + {n}?", "antwort": f"{2 * n}. " * 9} for n in range(60)]
    source.write_text("\n".join(map(json.dumps, rows)))
    wanted = {"data.source": str(source), "model.max_seq_length": LONGEST}
    path = preset_files.save(changed(Preset(), wanted), "own")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, "G", "d")
        screen = data_screen(pilot)
        await until(pilot, lambda: "frage    Wie viel ist 0 + 0?" in shown(pilot))
        await until(pilot, lambda: screen.frame.failure)
        assert "do not fit any known format" in shown(pilot)
        await press(pilot, "m", "j", "enter", "enter")  # prompt is frage
        await until(pilot, lambda: not screen.frame.failure)
        await until(pilot, lambda: screen.frame.failure and screen.frame.names)
        await press(pilot, "m", "j", "j", "enter", "j", "enter")  # completion is antwort
        await until(pilot, lambda: screen.frame.findings)
        await ready(pilot)
        assert "data.columns" in shown(pilot) and "unsaved" in shown(pilot)
        await press(pilot, "tab")
        assert "Wie viel ist 0 + 0?" in await at_row(pilot, 1)
        await press(pilot, "s")
        assert preset_files.load(path).data.columns == ("prompt=frage", "completion=antwort")
        assert not locations.runs_folder().exists() or not runs.list_runs()
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)
