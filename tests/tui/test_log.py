"""The engine's log: cleaned, of any size, followed and searched."""

import time
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core.runs import Run
from lora_tui.tui import log_pages
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.log_pages import LogPages, clean, last_lines
from lora_tui.tui.screens import log as log_screen
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.widgets.log_tail import LogTail

from .conftest import Maker, shown


@pytest.mark.parametrize(
    ("raw", "shown_as"),
    [
        (b"plain", "plain"),
        (b"\x1b[1;31mred\x1b[0m text", "red text"),
        (b"\x1b]0;title\x07after", "after"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b" 10%|#   |\r 50%|##  |\r100%|####|", "100%|####|"),
        (b" 10%|#   |\r 50%|##  |\r", " 50%|##  |"),
        (b"bell\x07 back\x08space", "bell\ufffd back\ufffdspace"),
        (b"tab\tstop", "tab stop"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[red]no markup[/red]", "[red]no markup[/red]"),
        (b"\xe2\x80\xaeright to left", "\ufffdright to left"),
        (b"", ""),
    ],
)
def test_a_line_is_what_a_terminal_would_have_left(raw: bytes, shown_as: str) -> None:
    assert clean(raw).strip() == shown_as.strip()


def test_an_endless_line_is_cut() -> None:
    assert len(clean(b"x" * 1_000_000)) == 2000


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_pages, "_PAGE", 100)
    monkeypatch.setattr(log_pages, "_MOST", 400)


def numbered(path: Path, many: int) -> list[str]:
    lines = [f"line {number:04d}" for number in range(many)]
    path.write_text("".join(f"{line}\n" for line in lines))
    return lines


@pytest.mark.usefixtures("small_pages")
def test_pages_cover_the_file_without_gap_or_repetition(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    lines = numbered(path, 200)
    pages = LogPages(path)
    pages.open_end(100)
    assert pages.lines == lines[-len(pages.lines) :] and pages.at_end and not pages.at_start
    seen = {pages.base + index: line for index, line in enumerate(pages.lines)}
    while pages.back():
        assert len(pages.lines) <= 50, "memory stays bounded"
        for index, line in enumerate(pages.lines):
            assert seen.setdefault(pages.base + index, line) == line, "a line keeps its number"
    assert [seen[number] for number in sorted(seen)] == lines
    assert (pages.at_start, pages.at_end, pages.lines[0]) == (True, False, "line 0000")
    while pages.forward():
        for index, line in enumerate(pages.lines):
            assert seen[pages.base + index] == line
    assert pages.lines[-1] == lines[-1] and not pages.at_start


@pytest.mark.usefixtures("small_pages")
def test_a_line_without_an_end_is_shown_and_then_completed(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"one\ntw")
    pages = LogPages(path)
    pages.open_end()
    assert pages.lines == ["one", "tw"]
    assert not pages.forward()
    with path.open("ab") as file:
        file.write(b"o\nthree\n")
    assert pages.forward()
    assert pages.lines == ["one", "two", "three"]
    path.write_bytes(b"new\n")
    assert pages.forward()
    assert pages.lines == ["new"], "a file begun anew is read anew"


@pytest.mark.usefixtures("small_pages")
def test_a_bar_that_never_ends_its_line_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    path.write_bytes(b"".join(b"\r%3d%%|####|" % percent for percent in range(100)))
    pages = LogPages(path)
    pages.open_end()
    assert pages.lines[-1].strip() == "99%|####|"
    assert sum(map(len, pages.lines)) < 1000


@pytest.mark.usefixtures("small_pages")
def test_find_goes_through_the_whole_file_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "engine.log"
    numbered(path, 200)
    with path.open("a") as file:
        file.write("an ERROR at last\n")
    pages = LogPages(path)
    pages.open_end(100)
    last = pages.base + len(pages.lines)
    found = pages.find("error", last, up=True, cancelled=lambda: False)
    assert found is not None and pages.lines[found - pages.base] == "an ERROR at last"
    found = pages.find("line 0007", last, up=True, cancelled=lambda: False)
    assert found is not None and pages.lines[found - pages.base] == "line 0007"
    again = pages.find("error", found, up=False, cancelled=lambda: False)
    assert again is not None and pages.lines[again - pages.base] == "an ERROR at last"
    assert pages.find("absent", last, up=True, cancelled=lambda: False) is None
    pages.open_end(100)
    assert pages.find("line 0007", last, up=True, cancelled=lambda: True) is None


def test_a_missing_file_has_no_lines(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "no.log", 3) == []
    pages = LogPages(tmp_path / "no.log")
    pages.open_end()
    assert pages.lines == [] and not pages.back() and not pages.forward()


async def until(pilot: Pilot[Any], text: str) -> None:
    """Wait for words to appear on the screen."""
    deadline = time.monotonic() + 180
    while text not in shown(pilot):
        assert time.monotonic() < deadline, f"{text!r} is not in\n{shown(pilot)}"
        await pilot.pause(0.01)


def logged(make_run: Maker, many: int) -> Run:
    run = make_run("r", "running")
    numbered(run.log, many)
    return run


async def test_the_log_is_followed_and_its_file_named(make_run: Maker) -> None:
    run = logged(make_run, 5)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(LogScreen(run))
        await until(pilot, "line 0004")
        assert str(run.log) in "".join(shown(pilot).split()), "whole, to be copied"
        assert "written to" in shown(pilot)
        with run.log.open("a") as file:
            file.write("[bold]new[/bold] words\x1b[2J\n")
        await until(pilot, "[bold]new[/bold] words")


async def test_one_who_scrolled_up_is_left_in_peace(make_run: Maker) -> None:
    run = logged(make_run, 100)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(LogScreen(run))
        await until(pilot, "line 0099")
        await until(pilot, "written to")  # which takes a line or two from the log
        await pilot.pause()
        await pilot.press("pageup")
        await until(pilot, "line 0070")
        before = [line[:40].rstrip() for line in shown(pilot).splitlines()]
        tail = app.screen.query_one(LogTail)
        with run.log.open("a") as file:
            file.write("later\n")
        while "later" not in tail.window.lines:
            await pilot.pause(0.01)
        assert [line[:40].rstrip() for line in shown(pilot).splitlines()] == before
        await pilot.press("G")
        await until(pilot, "later")


@pytest.mark.usefixtures("small_pages")
async def test_scrolling_back_reads_more(make_run: Maker) -> None:
    run = logged(make_run, 500)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(LogScreen(run))
        await until(pilot, "line 0499")
        for _ in range(60):
            await pilot.press("pageup")
            if "line 0001" in shown(pilot):
                break
            await pilot.pause(0.02)
        await until(pilot, "line 0001")
        await pilot.press("end")
        await until(pilot, "line 0499")
        await pilot.press("home")
        await until(pilot, "line 0000")


async def test_find_marks_and_goes_on(make_run: Maker) -> None:
    run = logged(make_run, 400)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.push_screen(LogScreen(run))
        await until(pilot, "line 0399")
        await pilot.press("slash", *"0017", "enter")
        await until(pilot, "line 0017")
        await pilot.press("slash", *"zzz", "enter")
        await until(pilot, '"zzz" is nowhere else.')
        await pilot.press("slash", *"33", "enter")
        await until(pilot, "line 0339")
        await pilot.press("n")
        await until(pilot, "line 0338")
        await pilot.press("slash", "escape")
        assert isinstance(app.screen, LogScreen)
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(app.screen, LogScreen)


async def test_no_log_yet_says_so(make_run: Maker) -> None:
    run = make_run("r", "starting", steps=0)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        app.push_screen(LogScreen(run))
        await until(pilot, "nothing was printed yet")


async def test_closing_ends_the_thread_at_once(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_screen, "_EVERY", 3600.0)  # by itself it would look up too late
    run = logged(make_run, 5)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        screen = LogScreen(run)
        app.push_screen(screen)
        await until(pilot, "line 0004")
        (worker,) = [worker for worker in app.workers if worker.node is screen]
        await pilot.press("q")
        deadline = time.monotonic() + 180
        while not worker.is_finished:
            assert time.monotonic() < deadline
            await pilot.pause(0.01)
