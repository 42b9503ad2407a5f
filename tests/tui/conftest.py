"""What the screens' tests share: a machine that stands still, presets, runs of every state."""

import fcntl
import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import locations, preset_files, queue, states
from lora_tui.core.files import private_folder, slug
from lora_tui.core.members import Member
from lora_tui.core.platforms import Place, Platform
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import compare, launch
from lora_tui.jobs.compare import Asked
from lora_tui.tui import look
from lora_tui.tui.chat_watching import ChatWatch
from lora_tui.tui.one_at_a_time import BY_KEY
from lora_tui.tui.screens.chat import ChatScreen

NOON = 1_795_435_920.0  # 2026-11-23 12:12 UTC
PLACE = Place(Platform("unsloth", "cpu", bfloat16=True), 24_000_000_000)


@pytest.fixture(autouse=True)
def still_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same facts, characters and time zone on every machine."""
    monkeypatch.setattr("lora_tui.tui.machine.facts", lambda: "H200 · 3.1/139 GB · disk 812 GB")
    monkeypatch.setattr("lora_tui.tui.forecast.place_of", lambda preset: PLACE)
    monkeypatch.setenv("LORA_TUI_ASCII", "0")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    look.ascii_only.cache_clear()
    yield
    look.ascii_only.cache_clear()
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three shipped presets that no release changes."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    demo = Preset(name="demo", description="Needs no network.")
    lora = changed(
        Preset(name="lora", description="The usual one."),
        {"model.name_or_path": "some/model", "data.source": "some/data", "lora.r": 32},
    )
    full = changed(Preset(name="full", description="Every weight."), {"lora.method": "full"})
    for preset in (demo, lora, full):
        (folder / f"{preset.name}.toml").write_text(preset_files.dumps(preset))
    monkeypatch.setattr(locations, "shipped_presets_folder", lambda: folder)
    return folder


Maker = Callable[..., Run]


@pytest.fixture
def make_run() -> Iterator[Maker]:
    """Makes run directories in any state; live ones are held until the test is over."""
    locks: list[TextIOWrapper] = []

    def make(
        name: str, state: str, *, number: int = 0, steps: int = 40, most: int = 50, **final: Any
    ) -> Run:
        folder = private_folder(locations.runs_folder())
        run = Run(folder / f"20261123-12{number:02d}-{slug(name)}")
        run.path.mkdir()
        info = {"schema": 1, "name": name, "kind": "train", "created": NOON, "model": "demo"}
        run.info.write_text(json.dumps(info))
        run.preset.write_text(preset_files.dumps(Preset(name=name)))
        if state == "queued":
            host, place = platform.node(), float(100 - number)
            queue.write(queue.Ticket(run=run, position=place, host=host, t=NOON, held=True))
            return run
        say(run, 0, "launched", pid=4242, host="here")
        say(
            run,
            1,
            "started",
            backend="transformers",
            device="cpu",
            pid=4242,
            host="here",
            max_steps=most,
        )
        for step in range(1, steps + 1):
            say(run, 1 + step, "step", step=step, loss=2.5 - step / 25, seconds=float(step))
        if state in {"finished", "stopped", "failed", "stopping", "paused"}:
            say(run, 1 + steps, state, step=steps, **final)
        if state in states.LIVE:
            locks.append(run.lock.open("w"))
            fcntl.flock(locks[-1], fcntl.LOCK_EX)
            locks[-1].write("here 4242\n")
            locks[-1].flush()
        return run

    yield make
    for lock in locks:
        lock.close()


def say(run: Run, after: float, kind: str, **fields: Any) -> None:
    """Append an event of a given time."""
    with run.events.open("a") as file:
        file.write(json.dumps({"t": NOON + after, "kind": kind, **fields}) + "\n")


async def settled(pilot: Pilot[Any]) -> None:
    """Wait until the workers are done, but for those that wait for the user or follow a run."""
    app = pilot.app

    def is_on_its_way() -> bool:
        """Whether a dialogue is about to open, or what it was about is being done."""
        asking = any(one.group in BY_KEY and not one.is_finished for one in app.workers)
        return asking and not app._exit and not app.screen.is_modal

    waiting, quiet = {*BY_KEY, "follow"}, 0
    while quiet < 2:  # what a worker did may begin the next
        await pilot.pause()
        while is_on_its_way():
            await pilot.pause(0.01)
        workers = [worker for worker in app.workers if worker.group not in waiting]
        quiet = 0 if workers else quiet + 1
        if workers:  # an empty list would mean all of them
            await app.workers.wait_for_complete(workers)


def toasts(pilot: Pilot[Any]) -> str:
    """What the app has told in passing, before it is wrapped into a toast."""
    return "\n".join(f"{one.title} {one.message}" for one in pilot.app._notifications)


def shown(pilot: Pilot[Any]) -> str:
    """The text on the screen, dialogues included."""
    lines = pilot.app.screen._compositor.render_strips()
    return "\n".join(line.text.rstrip() for line in lines[: pilot.app.size.height])


@pytest.fixture
def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Member], Asked]]:
    """No engine is launched: what would be measured is recorded, and stands at once."""
    from .comparisons import recorded  # which needs what stands above

    found: list[tuple[list[Member], Asked]] = []

    def start(who: Sequence[Member], asked: Asked) -> Run:
        found.append((list(who), asked))
        return recorded(list(who), prompts=asked.prompts or ("A held-out question?",))

    monkeypatch.setattr(compare, "start", start)
    return found


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> list[ChatWatch]:
    """No engine is started: frames are put in by hand. Gives what was to follow one."""
    watches: list[ChatWatch] = []
    monkeypatch.setattr(ChatScreen, "follow_engine", lambda _, watch: watches.append(watch))
    return watches


@pytest.fixture
def screen_of(make_run: Maker) -> Iterator[Callable[..., Run]]:
    """Makes a run that has got to a step, and keeps it alive if its state says so."""
    from .training_screens import train  # which needs what stands above

    def make(
        state: str = "running", steps: int = 312, name: str = "r16-alpaca", **more: Any
    ) -> Run:
        run = make_run(
            name, "running" if state in {"running", "starting"} else "crashed", steps=0, most=500
        )
        if steps:
            train(run, steps, **more)
        return run

    yield make


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
