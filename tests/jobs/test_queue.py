"""Taking turns: what starts, what waits, what a crash in between leaves."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lora_tui.core import devices, events, locks, runs
from lora_tui.core import queue as tickets
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control, keeping, launch, machine, queue


@pytest.fixture
def busy() -> Iterator[devices.Taken]:
    """The processor is another run's."""
    taken = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    assert taken
    yield taken
    taken.close()


@pytest.fixture(autouse=True)
def no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only those tests have one that start it."""
    monkeypatch.setattr(keeping, "is_needed", lambda: False)


def kinds(run: Run) -> list[str]:
    return [event["kind"] for event in events.read_new(run.events)[0]]


def wait(*names: str) -> list[Run]:
    return [launch.start(Preset(name="p"), name=name) for name in names]


def order() -> list[Run]:
    return [ticket.run for ticket in tickets.waiting()]


def test_a_run_waits_while_its_device_is_another_runs(busy: devices.Taken) -> None:
    a, b = wait("a", "b")
    assert [headline(run).state for run in (a, b)] == ["queued", "queued"]
    assert order() == [a, b] and kinds(a) == []
    queue.shift(b, -1)
    assert order() == [b, a]
    queue.shift(b, -1)  # it is the first already
    queue.shift(a, 1)
    assert order() == [b, a]
    control.pause(b)
    assert tickets.standing(b).startswith("held") and not control.toggle_pause(b)
    assert control.toggle_pause(b) and tickets.standing(b).startswith("held")
    launch.resume(b)
    with pytest.raises(LoraTuiError, match="waits for its turn already"):
        launch.resume(b)
    control.stop(b)
    assert order() == [a] and headline(b).state == "stopped" and kinds(b) == ["stopped"]
    launch.resume(b)
    ticket = tickets.read(b)
    assert order() == [a, b] and ticket and ticket.verb == "resume"
    control.kill(a)
    assert order() == [b]


def test_what_can_start_starts_in_order_and_a_failure_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two GPUs, and runs that want one, both, one and one that is not there."""
    started: list[tuple[Run, str, dict[str, str]]] = []
    held: list[int] = []

    def spawn(run: Run, verb: str, *, environment: dict[str, str], inherited: list[int]) -> None:
        started.append((run, verb, environment))
        held.extend(map(os.dup, inherited))

    def wanted(preset: Preset, visible: str | None) -> devices.Wanted:
        if preset.engine.device == "cuda:7":
            raise BadInput("There is no GPU 7.", "Look at nvidia-smi.")
        return devices.wanted(preset.engine.device, preset.engine.processes, ("0", "1"))

    monkeypatch.setattr(queue, "spawn", spawn)
    monkeypatch.setattr(machine, "wanted_devices", wanted)
    base = Preset(name="p")
    made: dict[str, dict[str, Any]] = {
        "one": {},
        "named": {"engine.device": "cuda:1"},
        "both": {"engine.processes": 2},
        "gone": {"engine.device": "cuda:7"},
        "after": {},
    }
    one, named, both, gone, after = (
        runs.create(changed(base, values), name=name) for name, values in made.items()
    )
    with tickets.locked():
        for run in (one, both, gone, after):
            tickets.join(run, "train")
    queue.dispatch()
    assert started == [(one, "train", {"CUDA_VISIBLE_DEVICES": "0"})]
    assert order() == [both, after]  # the second GPU is kept for the run of both
    assert headline(gone).state == "failed" and "no GPU 7" in kinds_and_words(gone)
    with pytest.raises(LoraTuiError, match="no GPU 7"):
        queue.submit(gone, "resume")
    assert order() == [both, after]
    devices.Taken((), tuple(held)).close()
    held.clear()
    queue.dispatch()
    assert started[-1] == (both, "train", {"CUDA_VISIBLE_DEVICES": "0,1"})
    devices.Taken((), tuple(held)).close()
    held.clear()
    assert queue.submit(named, "resume")
    assert [run for run, *_ in started[2:]] == [after, named]
    assert started[-1][2] == {"CUDA_VISIBLE_DEVICES": None}  # as where it was queued
    devices.Taken((), tuple(held)).close()


def kinds_and_words(run: Run) -> str:
    return str(events.read_new(run.events)[0])


def test_what_this_machine_keeps_from_starting_waits_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a moment must not fail a night's queue."""
    full = True
    started: list[Run] = []

    def spawn(run: Run, verb: str, **_: object) -> None:
        if full:
            raise LoraTuiError("The engine did not start: No space left.")
        started.append(run)

    with tickets.locked():
        made = [runs.create(Preset(name="p"), name=name) for name in "ab"]
        for run in made:
            tickets.join(run, "train")
    monkeypatch.setattr(queue, "spawn", spawn)
    with pytest.raises(LoraTuiError, match="No space left"):
        queue.dispatch()
    assert order() == made and [headline(run).state for run in made] == ["queued"] * 2
    full = False
    queue.dispatch()
    assert started == made and order() == []


def test_a_live_run_with_a_ticket_left_is_stopped_by_its_signal(busy: devices.Taken) -> None:
    (run,) = wait("a")
    with run.lock.open("w") as lock:
        locks.take(lock.fileno())
        assert not queue.hold(run)
        assert not queue.cancel(run) and tickets.read(run) is None and kinds(run) == []


def test_a_run_that_waits_for_a_machine_that_is_gone_is_taken_over(busy: devices.Taken) -> None:
    run = runs.create(Preset(name="p"))
    tickets.write(replace(tickets.join(run, "train"), host="gone"))
    assert tickets.standing(run) == "next to start on gone"
    launch.resume(run)
    ticket = tickets.read(run)
    assert ticket and ticket.is_ours and tickets.standing(run) == "next to start"


def test_a_deleted_run_is_not_failed_into_being_again(busy: devices.Taken) -> None:
    (run,) = wait("a")
    runs.delete(run)
    queue._fail(run, BadInput("It has no preset."))
    assert not run.path.exists()


def test_a_ticket_whose_run_was_started_is_not_used_twice(busy: devices.Taken) -> None:
    """Who started it died before the ticket was gone."""
    (run,) = wait("a")
    events.append(run.events, "launched", pid=1)
    events.append(run.events, "finished", step=1)
    queue.dispatch()
    assert order() == [] and headline(run).state == "finished"


def test_an_earlier_start_does_not_use_up_a_ticket_whatever_the_clock_says(
    busy: devices.Taken,
) -> None:
    run = runs.create(Preset(name="p"))
    run.events.write_text('{"t":9e12,"kind":"launched"}\n{"t":9e12,"kind":"stopped"}\n')
    launch.resume(run)
    queue.dispatch()
    assert order() == [run]


def test_nobody_joins_a_queue_that_cannot_be_read(busy: devices.Taken) -> None:
    (waits,) = wait("a")
    waits.ticket.unlink()
    waits.ticket.mkdir()  # a folder cannot be read, whoever asks
    run = runs.create(Preset(name="p"))
    with pytest.raises(LoraTuiError, match="queue cannot be read"):
        queue.submit(run, "train")
    assert tickets.read(run) is None and tickets.read(waits) is None


def test_a_ticket_of_another_machine_or_of_slurm_is_left_alone() -> None:
    here, there = (runs.create(Preset(name="p"), name=name) for name in "ab")
    tickets.join(here, "train", slurm="7")
    tickets.write(replace(tickets.join(there, "train"), host="another"))
    queue.dispatch()
    assert order() == [here, there] and kinds(here) == kinds(there) == []
