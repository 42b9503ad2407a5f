"""One run, live or ended: its curve, its figures, and what can be done with it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import Static

from lora_tui.core import states
from lora_tui.core.advice import Advice, of_run
from lora_tui.core.metrics import CURVES
from lora_tui.core.preset_files import load
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control
from lora_tui.tui import advice_flows, advice_words, run_flows
from lora_tui.tui import run_words as words
from lora_tui.tui.chart import Options
from lora_tui.tui.failures import Reporting
from lora_tui.tui.look import ascii_only
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.wanting import Latest
from lora_tui.tui.watching import Frame, Watch
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.loss_chart import LossChart
from lora_tui.tui.widgets.metric_table import MetricTable
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.run_list import PAUSE, RESUME

_STOP = "End after this step; checkpoint and adapter are saved"
_CURVE = "Loss, learning rate, gradient norm, tokens a second"
_BACK = "Leave; the run goes on"
_GO_ON = "Where it waits: in memory, or in the queue"
_MERGE = "Write its adapter into the base"
_EXPORT = "Write its result as GGUF files"
_ADVICE = "What experience says of this run; enter there makes a new preset"


class TrainingScreen(Reporting, Screen[None]):
    """Follows a run in a thread; the event loop only shows finished frames."""

    CSS_PATH = "training.tcss"
    HELP = """The dots are the loss of each step, the line is their smoothed course, the circles
        are the loss on rows held out from training. It falls on both while the model learns; when
        the circles rise and the line falls, it learns by heart.
        The run is a process of its own: leaving this screen or the app does not stop it.
        v lists what experience advises; its rules and their sources are at the end of this help."""
    HELP_ROWS = advice_words.RULES_FOR_HELP
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (110, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "stop", "stop and save", id="training.stop", tooltip=_STOP),
        Binding("p", "pause", "pause", id="training.pause", tooltip=PAUSE),
        Binding("p", "go_on", "go on", show=False, id="training.go_on", tooltip=_GO_ON),
        Binding("R", "resume", "resume", key_display="R", id="training.resume", tooltip=RESUME),
        Binding("l", "next_curve", "curve", id="training.curve", tooltip=_CURVE),
        Binding("z", "log_scale", "scale", id="training.scale", tooltip="Linear or logarithmic"),
        Binding("g", "open_log", "log", id="training.log", tooltip="What the engine printed"),
        Binding("x", "samples", "sample", id="training.samples", tooltip="What base and tuned say"),
        Binding("q,escape", "back", "back", key_display="q", id="training.back", tooltip=_BACK),
        Binding("w", "warnings", "warnings", id="training.warnings", tooltip="All warnings"),
        Binding("v", "advice", "advice", id="training.advice", tooltip=_ADVICE),
        Binding("m", "merge", "merge", id="training.merge", tooltip=_MERGE),
        Binding("e", "export", "export", id="training.export", tooltip=_EXPORT),
        Binding("enter", "alone", "full", id="training.full", tooltip="The chart alone, and back"),
    ]

    frame: var[Frame | None] = var(None)
    alone: var[bool] = var(False, toggle_class="-alone")

    class Arrived(Message):
        """A new frame, and the advice on it; of several only the latest is shown."""

        def __init__(self, frame: Frame, advices: Sequence[Advice] = ()) -> None:
            super().__init__()
            self.frame, self.advices = frame, advices

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, TrainingScreen.Arrived)

    def __init__(self, run: Run) -> None:
        """Watch `run`, whatever state it is in."""
        super().__init__()
        self.run = run
        self._wanted = Latest(Options(width=0, height=0, ascii_only=ascii_only()))
        self._latest: Frame | None = None
        self._advices: Sequence[Advice] = ()
        self._asked = ""
        self._said: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        yield Painting(id="title")
        yield Static(id="notice")
        with Container(id="body"):
            yield LossChart()
            yield MetricTable()
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Say which run it is; the first picture is drawn when there is room for it."""
        self.query_one("#title", Painting).paint((((self.run.id, "strong"),),))
        self.follow_run()

    def on_unmount(self) -> None:
        """Let the thread go; it waits on this."""
        self._wanted.set()

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_run(self) -> None:
        """Read, fold and draw until the screen closes."""
        preset = advice_flows.preset_of(self.run)

        def hand_over(frame: Frame) -> None:
            # A first picture of a long file has gaps, which rules would take for the run's course.
            known = preset if frame.read is None else None
            self.post_message(self.Arrived(frame, of_run(known, frame.snapshot)))

        Watch(self.run, self._wanted, hand_over).run()

    @on(LossChart.Room)
    def make_room(self, event: LossChart.Room) -> None:
        """Ask for a picture that fits."""
        self._ask(width=event.width, height=event.height)

    def _ask(self, **changes: Any) -> None:
        self._wanted.want(replace(self._wanted.value, **changes))

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a finished frame, or keep it while another screen covers this one.

        Textual would paint the whole screen above for every change below.
        """
        self._latest, self._advices = event.frame, event.advices
        if self.is_active:
            self._show_latest()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self._show_latest()

    def _show_latest(self) -> None:
        frame, before = self._latest, self.frame
        if frame is None or frame is before:
            return
        if frame.gone:
            said = f"{self.run.id} was deleted while you watched it."
            self.app.notify(said, severity="warning", markup=False)
            self.dismiss()
            return
        self.frame = frame
        if frame.state not in {"starting", "running"}:
            self._asked = ""
        self.query_one(MetricTable).show(frame)
        if frame.picture is not None:
            advice = advice_words.short(self._advices)
            self.query_one(LossChart).show(frame.picture, frame.options, frame.read, advice)
        self._show_words()
        if before is None or _keys(before) != _keys(frame):
            self.refresh_bindings()

    def on_resize(self) -> None:
        """Fit the lines of words to the new width."""
        self.call_after_refresh(self._show_words)

    def _show_words(self) -> None:
        frame = self.frame
        if frame is None:
            return
        title = self.query_one("#title", Painting)
        title.paint((words.title(frame, title.size.width),))
        foot = self.query_one("#foot", Painting)
        line = words.foot(frame, self.size.width - 2, asked=self._asked)
        foot.set_class(bool(line), "-shown")
        foot.paint((line,))
        said = words.notice(frame)
        notice = self.query_one("#notice", Static)
        if said != self._said:
            self._said = said
            notice.set_class(said is not None, "-shown")
            summary, hint = said or ("", "")
            notice.update(Content.assemble((summary, "bold $text-error"), "\n", hint))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        frame = self.frame
        if action == "stop":
            return frame is not None and frame.state in states.STOPPABLE
        if action == "pause":
            return frame is not None and frame.state in states.PAUSABLE and not frame.waits
        if action == "go_on":
            return frame is not None and frame.waits
        if action == "resume":
            return frame is not None and frame.state in {*states.RESUMABLE, "finished"}
        if action in {"merge", "export"}:
            return frame is not None and (frame.state == "finished" or bool(frame.result))
        if action == "warnings":
            return frame is not None and bool(frame.snapshot.warnings)
        if action == "samples":
            return frame is not None and bool(frame.snapshot.samples)
        return True

    def action_next_curve(self) -> None:
        after = CURVES.index(self._wanted.value.curve) + 1
        self._ask(curve=CURVES[after % len(CURVES)])

    def action_log_scale(self) -> None:
        self._ask(log=not self._wanted.value.log)

    def action_alone(self) -> None:
        self.alone = not self.alone

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(self.run))

    def action_warnings(self) -> None:
        assert self.frame
        latest_first = reversed(self.frame.snapshot.warnings)
        self.app.push_screen(Notice("Warnings", "\n\n".join(latest_first)))

    def action_samples(self) -> None:
        assert self.frame
        self.app.push_screen(Notice("What it says", words.samples(self.frame)))

    @asks
    async def action_advice(self) -> None:
        preset = await asyncio.to_thread(load, self.run.preset)
        await advice_flows.on_run(self.app, preset, self._advices)

    @asks
    async def action_merge(self) -> None:
        from lora_tui.tui import merge_flows

        await merge_flows.merge_runs(self.app, [self.run])

    @asks
    async def action_export(self) -> None:
        from lora_tui.tui import export_flows

        await export_flows.export_run(self.app, self.run)

    def action_back(self) -> None:
        self.dismiss()

    @asks
    async def action_stop(self) -> None:
        """Stop after asking; a run that is saving already can be ended at once."""
        line = await asyncio.to_thread(headline, self.run)
        if await run_flows.stop(self.app, line):
            self._show_asked("stop")

    @asks
    async def action_pause(self) -> None:
        """Pause the run, or let it go on; nothing is lost by either, so it does not ask."""
        is_held = await asyncio.to_thread(control.toggle_pause, self.run)
        if self._asked != "stop":
            self._show_asked("pause" if is_held else "")

    @asks
    async def action_go_on(self) -> None:
        """Let the run go on where it waits."""
        await asyncio.to_thread(control.release, self.run)
        self._wanted.wake()

    def _show_asked(self, what: str) -> None:
        self._asked = what
        self._show_words()
        self._wanted.wake()

    @asks
    async def action_resume(self) -> None:
        """Restart the run at its last complete checkpoint, after asking."""
        if await run_flows.resume(self.app, await asyncio.to_thread(headline, self.run)):
            self._wanted.wake()


def _keys(frame: Frame) -> tuple[object, ...]:
    """What decides which keys are offered."""
    return frame.state, frame.waits, bool(frame.snapshot.warnings), bool(frame.snapshot.samples)
