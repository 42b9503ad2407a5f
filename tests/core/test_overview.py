"""All runs at a glance: order, batches, and that nothing is read twice or missed."""

import fcntl
from io import TextIOWrapper

import pytest

from lora_tui.core import events, overview, runs
from lora_tui.core.overview import Board, Overview
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import Headline, headline


def finished(name: str) -> Run:
    run = runs.create(Preset(name=name))
    events.append(run.events, "launched", pid=1)
    events.append(run.events, "step", step=3, loss=1.5)
    events.append(run.events, "finished", step=3)
    return run


def hold(run: Run) -> TextIOWrapper:
    lock = run.lock.open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def latest(look: Overview, **how: bool) -> Board | None:
    boards = list(look.look(**how))
    return boards[-1] if boards else None


def test_an_empty_folder_is_an_empty_board_once() -> None:
    look = Overview()
    board = latest(look)
    assert board is not None and board.runs == ()
    assert latest(look, at_all=True) is None


def test_live_runs_come_first_then_the_newest() -> None:
    live, old, new = (finished(name) for name in ("live", "old", "old"))
    events.append(live.events, "launched", pid=2)
    with hold(live):
        board = latest(Overview())
    assert board is not None
    assert board.runs == (live, new, old)
    assert [run for run, line in board.lines.items() if line.is_live] == [live]
    assert board.lines[new].state == "finished"


def test_the_order_comes_before_any_headline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "_BATCH", 2)
    made = [finished(f"run-{number}") for number in range(5)]
    boards = list(Overview().look())
    assert boards[0].lines == {} and set(boards[0].runs) == set(made)
    assert [len(board.lines) for board in boards[1:]] == [2, 4, 5]
    assert list(boards[1].lines) == list(boards[0].runs[:2])


def test_what_did_not_change_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = finished("one"), finished("other")
    look = Overview()
    latest(look)
    read: list[Run] = []

    def reading(run: Run) -> Headline:
        read.append(run)
        return headline(run)

    monkeypatch.setattr(overview, "headline", reading)
    assert latest(look, at_all=True) is None and read == []
    events.append(other.events, "warning", text="odd")
    latest(look)
    assert read == [other]
    assert one not in read


def test_a_crash_shows_though_no_file_changes() -> None:
    run = finished("r")
    events.append(run.events, "launched", pid=2)
    look = Overview()
    with hold(run):
        board = latest(look)
        assert board is not None and board.lines[run].state == "starting"
        assert latest(look) is None
    board = latest(look)
    assert board is not None and board.lines[run].state == "crashed"


def test_new_and_deleted_runs_are_seen() -> None:
    look, one = Overview(), finished("one")
    latest(look)
    other = finished("other")
    board = latest(look)
    assert board is not None and set(board.runs) == {one, other}
    runs.delete(one)
    board = latest(look)
    assert board is not None and board.runs == (other,) and set(board.lines) == {other}


def test_an_old_run_that_another_program_resumes_is_seen_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overview, "_RECENT", 1)
    old, new = finished("a"), finished("b")
    look = Overview()
    board = latest(look)
    assert board is not None and board.runs[0] == new
    with hold(old):
        events.append(old.events, "launched", pid=2)
        boards = [latest(look) for _ in range(overview._ALL_EVERY)]
    seen = [board for board in boards if board is not None]
    assert seen and seen[0].runs[0] == old


def test_a_thousand_curves_stay_small() -> None:
    run = runs.create(Preset(name="long"))
    for step in range(100):
        events.append(run.events, "step", step=step, loss=float(step))
    board = latest(Overview())
    assert board is not None
    curve = board.lines[run].curve
    assert len(curve) <= 12 and curve[-1] == (99.0, 99.0)


def test_a_vanished_folder_is_no_error() -> None:
    run = finished("r")
    look = Overview()
    latest(look)
    runs.delete(run)
    run.path.parent.rmdir()
    board = latest(look)
    assert board is not None and board.runs == ()
