"""The data screen by keys: the report, and what may go wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import locations, preset_files, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.pages import Page
from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import control, launch
from lora_tui.tui import look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.data import DataScreen
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.widgets.paper import Paper

from .conftest import settled, shown
from .data_reports import (
    LONGEST,
    PRESET,
    at_work,
    data_screen,
    page,
    pages,
    ready,
    until,
    written,
)
from .data_screens import EVIL, SIZE, at_row, opened, press

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
    monkeypatch.setattr(control, "kill", killed.append)
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
    reports(written([*pages(), page(6, EVIL, EVIL)]))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot)
        for keys in ([], ["tab"], ["o"], ["o"], ["o"], ["end"], ["v"], ["m"]):
            await press(pilot, *keys)
            await pilot.pause(0.2)
            odd = {character for character in shown(pilot) if not character.isascii()}
            assert not odd, keys
        await press(pilot, "escape", "home")
        assert "| trained  not trained  x cut off" in shown(pilot) or "as it came" in shown(pilot)


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
