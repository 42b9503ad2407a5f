"""The data screen by keys: one row at a time."""

import json
import threading
import time
from pathlib import Path
from typing import Any

from lora_tui.core.preset_files import Entry
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.data_frames import Frame, Room, Wish
from lora_tui.tui.data_watching import DataWatch
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.data import DataScreen
from lora_tui.tui.wanting import Wishes
from lora_tui.tui.widgets.paper import Paper

from .conftest import settled, shown, toasts
from .data_reports import (
    LONGEST,
    PRESET,
    at_work,
    data_screen,
    page,
    pages,
    report,
    tell,
    until,
    written,
)
from .data_screens import SIZE, at_row, opened, press


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
    deadline = time.monotonic() + 180
    while not (frames and frames[-1].row and frames[-1].row.number == 3):
        assert time.monotonic() < deadline, frames[-1:]
        time.sleep(0.01)
    wishes.set()
    thread.join(180)
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
