"""The queue in files: its order, moves that write one file, tickets that nothing contradicts."""

import json
import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lora_tui.core import devices, locks, queue, queue_order, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline, show


def queued(*names: str) -> list[Run]:
    made = [runs.create(Preset(name="p"), name=name) for name in names]
    for run in made:
        queue.join(run, "train")
    return made


def order() -> list[Run]:
    return [ticket.run for ticket in queue.waiting()]


def test_runs_wait_in_the_order_they_came_and_leave_it() -> None:
    a, b, c = queued("a", "b", "c")
    assert order() == [a, b, c] and queue.is_open(b)
    assert headline(b).state == show(b)["state"] == "queued"
    assert queue.leave(b) and not queue.leave(b)
    assert order() == [a, c] and headline(b).state == "stopped" and not queue.is_open(b)
    runs.delete(a)
    assert order() == [c]


def test_a_ticket_says_all_that_its_start_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3")
    run = runs.create(Preset(name="p"))
    ticket = queue.join(run, "resume")
    assert queue.read(run) == ticket and ticket.since == 0
    assert (ticket.verb, ticket.visible, ticket.host) == ("resume", "1,3", os.uname().nodename)
    assert ticket.is_ours and not ticket.held
    for garbage in ("", "[]", "{", "\x00"):
        run.ticket.write_text(garbage)
        assert queue.read(run) is None


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(1, 7)), max_size=12))
def test_moves_do_what_moves_in_a_list_do(moves: list[tuple[int, int]]) -> None:
    made = queued(*"abcde")
    wanted = list(made)
    for which, place in moves:
        queue_order.move(made[which], place)
        wanted.remove(made[which])
        wanted.insert(place - 1, made[which])
        assert order() == wanted
    for run in made:
        runs.delete(run)


def test_a_place_between_two_neighbours_is_always_found() -> None:
    """Halving the space between them ends after some fifty moves; the order stays."""
    a, b, c = queued("a", "b", "c")
    for _ in range(60):
        queue_order.move(c, 2)
        assert order() == [a, c, b]
        queue_order.move(b, 2)
        assert order() == [a, b, c]


def test_every_write_of_a_spread_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    made = queued(*"abcd")
    for run, position in zip(made, (1.0, 1.0, 1.0, 2.0), strict=True):
        said = json.loads(run.ticket.read_text())
        run.ticket.write_text(json.dumps({**said, "position": position}))
    before = order()
    write, orders = queue.write, []

    def recorded(ticket: queue.Ticket) -> None:
        write(ticket)
        orders.append(order())

    monkeypatch.setattr(queue, "write", recorded)
    queue_order.move(before[3], 2)
    moved = [before[0], before[3], *before[1:3]]
    assert orders[-1] == moved and all(one == before for one in orders[:-1]) and len(orders) > 1


def test_what_a_run_waits_for_is_said() -> None:
    a, b, c = queued("a", "b", "c")
    assert queue.standing(a) == "next to start"
    assert queue.standing(b) == "1 run starts before it"
    assert queue.standing(c) == "2 runs start before it"
    ticket = queue.read(a)
    assert ticket
    queue.write(replace(ticket, held=True))
    assert queue.standing(a).startswith("held") and queue.standing(b) == "next to start"
    other = runs.create(Preset(), name="other")
    taken = devices.take(devices.Wanted(("cpu",)), (), other)
    assert taken
    with other.lock.open("w") as lock:
        locks.take(lock.fileno())
        assert queue.standing(b) == f"next, when {other.id} ends"
        other.pause.touch()
        assert queue.standing(b) == f"next, when {other.id} (paused) ends"
    taken.close()
    queue.leave(c)
    assert queue.standing(c) == ""
    queue.join(c, "train", slurm="12")
    assert queue.standing(c) == "SLURM starts it: job 12"


def test_one_at_a_time_changes_the_queue() -> None:
    entered = threading.Event()

    def second() -> None:
        with queue.locked():
            entered.set()

    with queue.locked():
        other = threading.Thread(target=second)
        other.start()
        assert not entered.wait(0.1)
    other.join(5)
    assert entered.is_set()


def test_what_does_not_wait_is_not_moved() -> None:
    run = runs.create(Preset(name="p"))
    with pytest.raises(LoraTuiError, match="does not wait"):
        queue_order.move(run, 1)


def test_a_run_leaves_the_queue_before_its_files_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the queue finds it without a preset, and fails it into being again."""
    (run,) = queued("a")
    remove, waits = shutil.rmtree, list[int]()

    def watched(path: Path) -> None:
        waits.append(len(order()))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", watched)
    runs.delete(run)
    assert waits == [0] and not run.path.exists()
