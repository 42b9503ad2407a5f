"""Sweeps start as runs that queue; losers are stopped, each once. No engine runs here."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lora_tui.core import devices, events, locations, locks, runs, sweep_rows, sweeps
from lora_tui.core import queue as tickets
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.preset_files import find, load, with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.sweeps import Sweep
from lora_tui.jobs import keeping, sweep

from ..sweeps import asked, made, told


@pytest.fixture(autouse=True)
def no_keeper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is to start here."""
    monkeypatch.setattr(keeping, "is_needed", lambda: False)


@pytest.fixture
def busy() -> Iterator[devices.Taken]:
    """The processor is another run's."""
    taken = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    assert taken
    yield taken
    taken.close()


@pytest.fixture
def at_work() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes that hold runs' locks as engines do, and end when they are asked to."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def begin(run: Run, started: list[subprocess.Popen[bytes]]) -> None:
    with run.lock.open("a") as lock:
        locks.take(lock.fileno())
        process = subprocess.Popen(
            ["sleep", "600"], pass_fds=[lock.fileno()], start_new_session=True
        )
        locks.sign(lock.fileno(), process.pid)
        started.append(process)


def test_all_runs_are_made_and_written_down_before_they_queue_in_their_order(
    busy: devices.Taken,
) -> None:
    started = sweep.start(asked(with_full=True, name=""), command="lora-tui sweep")
    assert started.name == "demo-sweep" and sweeps.list_sweeps() == [started]
    assert [ticket.run for ticket in tickets.waiting()] == list(started.runs)
    assert [runs.read_info(run)["name"] for run in started.runs] == [
        *("demo-sweep-r8", "demo-sweep-r16", "demo-sweep-r32", "demo-sweep-r64"),
        "demo-sweep-full",
    ]
    full = load(started.runs[-1].preset)
    assert full.lora.method == "full" and full.training.learning_rate == 1e-4
    assert {row.state for row in sweep_rows.read(started)} == {"queued"}
    assert sweeps.state_of(started) == "queued"
    again = sweep.start(asked(grid={"lora.r": (8,)}, name="demo-sweep"))
    assert runs.read_info(again.runs[0])["name"] == "demo-sweep-r8-2"
    assert "6 runs wait already" in "".join(sweep.plan(asked()).notes)
    assert sweep.stop(started) == 5 and sweeps.state_of(started) == "finished"
    assert [ticket.run for ticket in tickets.waiting()] == list(again.runs)


def test_what_cannot_run_is_refused_whole_before_anything_is_made(tmp_path: Path) -> None:
    grid = {"data.source": ("demo", str(tmp_path / "none.jsonl")), "lora.r": (8, 16)}
    wanted = asked(with_settings(find("demo"), ["engine.device=cuda"]), grid=grid)
    with pytest.raises(BadInput) as error:
        sweep.start(wanted)
    assert "engine.device" in str(error.value)
    with pytest.raises(BadInput, match=r'there is no ".*none.jsonl"') as error:
        sweep.start(asked(grid=grid))
    assert "(source-none.jsonl-r8, source-none.jsonl-r16)" in str(error.value)
    assert not locations.home().exists()


def test_a_disk_that_fills_in_the_middle_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    create, number = runs.create, iter(range(10))

    def full_at_the_third(*args: object, **how: object) -> Run:
        if next(number) == 2:
            raise LoraTuiError("The run was not created: no space left.")
        return create(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(runs, "create", full_at_the_third)
    with pytest.raises(LoraTuiError, match="no space left"):
        sweep.start(asked())
    assert runs.list_runs() == [] and list(locations.sweeps_folder().iterdir()) == []


def kinds(run: Run) -> list[str]:
    return [event["kind"] for event in events.read_new(run.events)[0]]


def halved(run: Run) -> list[str]:
    said = events.read_new(run.events)[0]
    return [str(event["text"]) for event in said if "halved" in event]


def racing(at_work: list[subprocess.Popen[bytes]], **losses: dict[int, float]) -> Sweep:
    """A sweep whose runs are at work, and measured these."""
    found = made(asked(with_full=True, halving=True))
    for at, (run, label) in enumerate(zip(found.runs, found.labels, strict=True)):
        if label in losses:
            told(run, losses[label], label=label, start=200.0 * at, final="")
            begin(run, at_work)
    return found


def test_losers_are_stopped_once_and_the_baseline_never(
    at_work: list[subprocess.Popen[bytes]],
) -> None:
    found = racing(at_work, r8={30: 2.0}, r16={30: 2.5}, r32={30: 1.9}, full={30: 2.9})
    assert sweep.halve()
    r8, r16, r32, _, full = found.runs
    assert at_work[1].wait(180) and not runs.is_alive(r16)
    assert [runs.is_alive(run) for run in (r8, r32, full)] == [True] * 3
    assert halved(r16) == [
        "Stopped by halving: its held-out loss of 2.500 at step 30 was place 2 of 2. Resumed, it "
        "goes on to its end."
    ]
    assert kinds(r16)[-2:] == ["stopping", "warning"]
    begin(r16, at_work)  # its user resumes it
    told(r8, {60: 1.8}, start=1000, final="")
    assert sweep.halve() and runs.is_alive(r16) and len(halved(r16)) == 1
    told(r32, {60: 1.85}, label="r32", start=2000, final="")
    sweep.halve()
    assert at_work[2].wait(180) and "at step 60 was place 2 of 2" in halved(r32)[0]
    for process in at_work:
        process.kill()
        process.wait()
    assert not sweep.halve() and sweep._courses == {}


def test_a_sweep_without_halving_is_left_alone(at_work: list[subprocess.Popen[bytes]]) -> None:
    found = made(asked())
    for run, loss in zip(found.runs, (1.0, 2.0), strict=False):
        told(run, {30: loss}, final="", start=loss * 100)
        begin(run, at_work)
    assert not sweep.halve() and not any(map(halved, found.runs))


def test_at_the_end_nobody_is_stopped(at_work: list[subprocess.Popen[bytes]]) -> None:
    """The last measurement comes when all is trained: only saving is left."""
    found = racing(at_work, r8={120: 1.0}, r16={120: 2.0})
    assert sweep.halve() and not any(map(halved, found.runs))
