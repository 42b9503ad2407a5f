"""Sweeps: planned, started as runs that queue, and halved while they run."""

import math
import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from lora_tui.core import events, files, halving, hardware, locations, measured, runs, sweeps
from lora_tui.core import queue as tickets
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event, figure, whole
from lora_tui.core.grids import Variant, grouped
from lora_tui.core.halving import Lost, Point
from lora_tui.core.measured import Measured
from lora_tui.core.platforms import Place, Platform, refusals
from lora_tui.core.runs import Run
from lora_tui.core.settings import Problem, SettingsError
from lora_tui.core.sweep_plan import Plan, cost_of, notes_of, problems_of
from lora_tui.core.sweeps import Asked, Sweep
from lora_tui.core.text import number
from lora_tui.jobs import control, launch, machine, queue

# --- before --------------------------------------------------------------------------------------


def plan(asked: Asked, found: list[Measured] | None = None) -> Plan:
    """What a sweep would cost on this machine, and all that is in its way.

    `found` is what was measured before, where it was collected already. Reads headers of models:
    call it in a thread.
    """
    try:
        variants = asked.variants
    except SettingsError as error:
        return Plan(problems=tuple(error.problems))
    found = measured.collect() if found is None else found
    place, problems = _place(variants)
    costs = tuple(cost_of(one, place.platform, found) for one in variants)
    problems += problems_of(asked, costs)
    combinations = math.prod(map(len, asked.grid.values()))
    return Plan(
        costs,
        _devices(variants),
        tuple(problems),
        (*notes_of(asked, costs, combinations), *_before_it()),
        _free_disk(),
        place.free,
    )


def _place(variants: Sequence[Variant]) -> tuple[Place, list[Problem]]:
    """Where they would run, and what each cannot do there."""
    place = Place(Platform("transformers", "cpu", bfloat16=False))
    wrong: dict[Problem, list[str]] = {}
    for one in variants:
        try:
            place = machine.place_of(one.preset)
            launch.located(one.preset)
            said = [Problem("", line) for line in refusals(one.preset, place.platform)]
        except SettingsError as error:
            said = error.problems
        except LoraTuiError as error:
            said = [Problem("", f"{error.summary} {error.hint}".strip())]
        for problem in said:
            wrong.setdefault(problem, []).append(one.label)
    return place, list(grouped(wrong, len(variants)))


def _devices(variants: Sequence[Variant]) -> int:
    """How many of them run at once here."""
    try:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        wanted = [machine.wanted_devices(one.preset, visible) for one in variants]
    except LoraTuiError:  # the problems say it
        return 1
    return min(max(1, len(one.names) // max(1, one.number)) for one in wanted)


def _before_it() -> Iterable[str]:
    """What waits already, and comes first."""
    if many := sum(1 for one in tickets.waiting() if one.is_ours and not one.held):
        said = (
            "1 run waits already, and starts"
            if many == 1
            else f"{many} runs wait already, and start"
        )
        yield f"{said} first."


def _free_disk() -> int | None:
    with suppress(OSError):
        return hardware.free_disk(locations.home())
    return None


# --- starting ------------------------------------------------------------------------------------


def start(asked: Asked, *, command: str = "") -> Sweep:
    """Make all runs of a sweep and its file, then let them queue in their order.

    Raises:
        LoraTuiError: something is in its way, or the disk did not take it; nothing was made then.
    """
    asked = replace(asked, name=asked.name or default_name(asked))
    if problems := plan(asked, []).problems:
        raise SettingsError("This sweep cannot run as it is asked for", list(problems))
    path, made = sweeps.claim(asked.name), list[tuple[Variant, Run]]()
    try:
        taken = {run.id.split("-", 2)[-1] for run in runs.list_runs()}  # 20261123-1412-NAME
        for one in asked.variants:
            name = files.free_name(f"{asked.name}-{one.label}", taken.__contains__)
            taken.add(files.slug(name))
            options = {"sweep": path.name, "values": dict(one.values)}
            preset = launch.located(one.preset)
            made.append((one, runs.create(preset, name=name, command=command, options=options)))
        sweep = sweeps.write(path, asked, made, command)
    except BaseException:
        for folder in (path, *(run.path for _, run in made)):
            shutil.rmtree(folder, ignore_errors=True)
        raise
    _queue(sweep)
    return sweep


def default_name(asked: Asked) -> str:
    """What a sweep is called if nobody says."""
    return f"{asked.preset.name or 'preset'}-sweep"


def _queue(sweep: Sweep) -> None:
    """Queue all runs at once, then start what can start.

    One that cannot be queued has failed, and the others go on.

    Raises:
        LoraTuiError: the queue cannot be used; the runs are there and can be resumed.
    """
    with tickets.locked():
        for run in sweep.runs:
            try:
                tickets.join(run, "train")
            except LoraTuiError as error:
                said = {"summary": error.summary, "hint": error.hint}
                with suppress(OSError):
                    events.append(run.events, "failed", **said, step=0)
    queue.dispatch()
    queue.keep_going()


# --- while it runs -------------------------------------------------------------------------------


def stop(sweep: Sweep) -> int:
    """Stop all that run, and take all out of the queue that wait; how many it was.

    The last ones first, so that none that waits gets its turn meanwhile.

    Raises:
        LoraTuiError: some go on; the others are stopped.
    """
    stopped, refused = 0, []
    for run in reversed(sweep.runs):
        if tickets.is_open(run):
            try:
                control.stop(run)
                stopped += 1
            except LoraTuiError as error:
                refused += [error.summary] if tickets.is_open(run) else []  # else it just ended
    if refused:
        raise LoraTuiError("Not all of it is stopped:\n" + "\n".join(f"  {one}" for one in refused))
    return stopped


@dataclass(slots=True)
class _Course:
    """What a run measured so far, and how far its events are read."""

    points: dict[int, Point] = field(default_factory=dict)
    last: int | None = None
    was_told: bool = False
    offset: int = 0

    def read(self, run: Run) -> Sequence[Point]:
        """Its measurements; of one step only the first counts, however often it is resumed."""
        while True:
            batch, after = events.read_new(run.events, self.offset)
            for event in batch:
                self._fold(event)
            if after == self.offset:
                break
            self.offset = after
        known = (self.points[step] for step in sorted(self.points))
        return [one for one in known if one.step and (self.last is None or one.step < self.last)]

    def _fold(self, event: Event) -> None:
        self.last = whole(event.get("max_steps")) or self.last
        self.was_told |= event["kind"] == "warning" and "halved" in event
        if event["kind"] == "eval":
            step, loss, t = (event.get(name) for name in ("step", "loss", "t"))
            place, value, when = whole(step), figure(loss), figure(t)
            if place is not None and value is not None and when is not None:
                self.points.setdefault(place, Point(when, place, value))


_courses: dict[Run, _Course] = {}


def halve() -> bool:
    """Stop what is clearly losing, each run once; whether there may be more to stop.

    For the keeper, once a second: only what is new in the events is read. A run that its user
    resumes after that goes on to its end.
    """
    racing = sweeps.racing()
    for sweep in racing:
        courses = {run: _courses.setdefault(run, _Course()) for run in _racers(sweep)}
        known = {run.id: course.read(run) for run, course in courses.items()}
        lost = halving.losers(known, sweep.first_rung)
        for run, course in courses.items():
            if run.id in lost and not course.was_told and runs.is_alive(run):
                _stop_loser(run, lost[run.id])
    for run in _courses.keys() - {run for sweep in racing for run in sweep.runs}:
        del _courses[run]
    return bool(racing)


def _racers(sweep: Sweep) -> list[Run]:
    """All but the baseline: it is what the others are held against."""
    return [run for run in sweep.runs if run.id != sweep.baseline]


def _stop_loser(run: Run, lost: Lost) -> None:
    loss = lost.point.loss
    if math.isnan(loss):
        said = f"Stopped by halving at step {lost.point.step}: its held-out loss is NaN."
    else:
        said = (
            f"Stopped by halving: its held-out loss of {number(loss)} at step {lost.point.step} "
            f"was place {lost.place} of {lost.of}. Resumed, it goes on to its end."
        )
    with suppress(OSError, LoraTuiError):  # a full disk, or it has just ended: it is asked again
        control.stop(run)
        events.append(run.events, "warning", text=said, halved=lost.rung)
