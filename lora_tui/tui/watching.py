"""The training screen's thread: follow the run, fold its events, draw, hand over frames.

No widget is touched from here: frames leave through a callback.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from lora_tui.core import events, queue, runs, states
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import Event, figure
from lora_tui.core.metrics import History, Snapshot
from lora_tui.core.preset_files import load
from lora_tui.core.runs import Run
from lora_tui.core.series import smoothed
from lora_tui.core.text import one_line
from lora_tui.jobs import slurm
from lora_tui.jobs.follow import follow
from lora_tui.tui import chart
from lora_tui.tui.chart import Options, Rows
from lora_tui.tui.log_pages import last_lines
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.painting import repaint_bytes

_APART = 0.5  # seconds between two frames: twice a second at most, whatever the step rate
_BYTES_A_SECOND = 4000  # what a slow connection carries without lag; larger charts move less often
_FIGURES_BYTES = 1000
_QUEUE_EVERY = 1.0  # seconds
_LONG = 4_000_000  # bytes of events from which on a first picture is sampled
_SAMPLED = 400


@dataclass(frozen=True, slots=True)
class About:
    """What does not change while a run runs."""

    name: str
    model: str = ""
    method: str = ""
    is_newer: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """All that the screen shows of one moment; `read` is the share of a long file read so far."""

    about: About
    snapshot: Snapshot = field(default_factory=Snapshot)
    state: str = "queued"
    picture: Rows | None = None
    options: Options = field(default_factory=Options)
    trend: tuple[float, int] | None = None
    read: float | None = None
    last_words: tuple[str, ...] = ()
    last_checkpoint: int | None = None
    result: str = ""
    unreadable: str = ""
    standing: str = ""
    """What it waits for in the queue."""
    gone: bool = False

    @property
    def waits(self) -> bool:
        """Whether it goes on only when it is told to."""
        return self.state == "paused" or self.standing.startswith("held")


class Watch:
    """One run followed until the screen wants no more of it."""

    def __init__(self, run: Run, wanted: Latest[Options], show: Callable[[Frame], object]) -> None:
        self._run = run
        self._wanted = wanted
        self._show = show
        self._about = about(run)
        self._frame = Frame(self._about)
        self._due = 0.0

    def run(self) -> None:
        """Hand over frames until `wanted` is set or the run's directory is gone."""
        while not self._wanted.is_set():
            length = self._follow()
            while not self._wanted.is_set():
                if not self._run.path.is_dir():
                    self._show(replace(self._frame, gone=True))
                    return
                if queue.is_open(self._run) or _length(self._run) != length:
                    break  # it was resumed or queued: read it anew
                self._wanted.wait(1.0)
                self._redraw()

    def _follow(self) -> int:
        """Follow one life of the engine; how long the file was when it was over."""
        length = _length(self._run)
        sketch = first_picture(self._run) if length > _LONG else None
        if sketch:
            self._draw(sketch, read=0.0)
        history = History()
        fresh = True
        for batch in follow(self._run, self._wanted):
            history.fold(batch)
            fresh = fresh or bool(batch)
            if sketch and batch:
                self._report_progress(sketch, history)
                continue
            sketch = None  # an empty batch: everything is read
            if fresh and time.monotonic() >= self._due:
                fresh = False
                self._draw(history.snapshot())
            else:
                self._redraw()
            if not batch and not self._run.path.is_dir():
                break
            length = _length(self._run)
        if not self._wanted.is_set():
            length = _length(self._run)
            self._draw(history.snapshot())
        return length

    def _report_progress(self, sketch: Snapshot, history: History) -> None:
        self._redraw()
        if time.monotonic() >= self._due:
            share = min(0.99, history.snapshot().step / max(1, sketch.step))
            self._hand_over(replace(self._frame, read=share))

    def _redraw(self) -> None:
        """Draw the same moment anew if another chart is wanted, or the queue moved on."""
        if self._wanted.value != self._frame.options:
            self._draw(self._frame.snapshot, self._frame.read)
        elif self._frame.state == "queued" and time.monotonic() >= self._due:
            self._due = time.monotonic() + _QUEUE_EVERY
            slurm.look_aside()
            if slurm.standing(self._run) != self._frame.standing:
                self._draw(self._frame.snapshot)

    def _draw(self, snapshot: Snapshot, read: float | None = None) -> None:
        standing = slurm.standing(self._run)
        alive = runs.is_alive(self._run)
        state = states.state_of(snapshot.telling, alive=alive, waits=bool(standing))
        options = self._wanted.value
        frame = replace(
            self._frame,
            snapshot=snapshot,
            state=state,
            read=read,
            trend=trend(snapshot),
            last_words=tuple(last_lines(self._run.log, 3)) if state == "crashed" else (),
            last_checkpoint=max(runs.checkpoint_steps(self._run), default=None)
            if state == "crashed"
            else None,
            result=result(self._run) if state in {"finished", "stopped"} else "",
            unreadable=str(self._run.events)
            if snapshot.telling is None and state == "stopped"
            else "",
            standing=standing if state == "queued" else "",
        )
        if frame.picture is None:
            self._hand_over(frame)  # figures at once: importing plotext takes a while
        picture = chart.draw(snapshot, options, waiting_for(snapshot, state))
        self._hand_over(replace(frame, picture=picture, options=options))

    def _hand_over(self, frame: Frame) -> None:
        written = repaint_bytes(self._frame.picture or (), frame.picture or ()) + _FIGURES_BYTES
        self._due = time.monotonic() + max(_APART, written / _BYTES_A_SECOND)
        if frame != self._frame:
            self._frame = frame
            self._show(frame)


def first_picture(run: Run) -> Snapshot:
    """What a long run looks like, from a few hundred places in its file."""
    head, tail = events.read_ends(run.events)
    first, last = _last_step(head), _last_step(tail[:1])
    between = [
        event
        for event in events.sample(run.events, _SAMPLED)
        if event["kind"] == "step" and first < (figure(event.get("step")) or 0) < last
    ]
    history = History()
    for batch in (head, between, tail):
        history.fold(batch)
    return history.snapshot()


def _last_step(batch: Iterable[Event]) -> float:
    return max((figure(event.get("step")) or 0 for event in batch), default=0)


def about(run: Run) -> About:
    """What `run.json` and `preset.toml` say; blanks where they are missing or garbage."""
    info = runs.read_info(run)
    schema = info.get("schema")
    try:
        preset = load(run.preset)
    except LoraTuiError:
        method = ""
    else:
        variant = "DoRA" if preset.lora.use_dora else "LoRA"
        method = (
            f"{variant} r{preset.lora.r}" if preset.lora.method == "lora" else "full fine-tuning"
        )
    return About(
        name=one_line(str(info.get("name") or run.id)),
        model=one_line(str(info.get("model") or "")),
        method=method,
        is_newer=isinstance(schema, int) and schema > runs.SCHEMA,
    )


def result(run: Run) -> str:
    """Where the trained model is, if it is there."""
    return next((str(path) for path in (run.adapter, run.model) if path.is_dir()), "")


def trend(snapshot: Snapshot) -> tuple[float, int] | None:
    """The relative change of the smoothed loss over the latest tenth of the run, and its steps."""
    points = snapshot.curves.get("loss", ())
    if len(points) < 10:
        return None
    line = smoothed(points)
    last_step, last = line[-1]
    span = max(10, last_step / 10)
    step, before = next(
        point for point in reversed(line) if point[0] <= last_step - span or point is line[0]
    )
    return (last / before - 1, int(last_step - step)) if before else None


_DOING = {
    "launched": "starting the engine…",
    "started": "reading the data…",
    "data": "loading the model…",
    "model": "preparing the first step…",
    "eval": "taking the first step…",
    "sample": "taking the first step…",
}
"""What follows on each event before the first step."""


def waiting_for(snapshot: Snapshot, state: str) -> str:
    """What a run without a chart is doing: the latest thing it said."""
    if state == "queued":
        return "it starts when its turn comes"
    if state not in states.LIVE:
        return ""
    said = [
        (figure(fact.get("t")) or 0, kind)
        for kind, fact in snapshot.facts.items()
        if kind in _DOING
    ]
    return _DOING[max(said)[1]] if said else "starting the engine…"


def _length(run: Run) -> int:
    try:
        return run.events.stat().st_size
    except OSError:
        return 0
