"""Adapters written into their base: what goes in and how much, then the proof of what came out."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from lora_tui.core import makings
from lora_tui.core.members import Member
from lora_tui.core.merging import Folding, Merging
from lora_tui.core.runs import Run
from lora_tui.jobs import merge
from lora_tui.tui import compare_words, merge_asking, merge_page, merge_words
from lora_tui.tui.columns import cut, plain
from lora_tui.tui.failures import Reporting
from lora_tui.tui.job_watching import Frame, JobWatch
from lora_tui.tui.merge_form import Draft
from lora_tui.tui.merge_outlook import look_at
from lora_tui.tui.merge_page import Left
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.merge_form import MergeForm, MergeList
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar

_KEPT = {"kept": "nothing of it is left", "again": "r tries again."}
_AFTER = frozenset({"export", "ask", "stop", "again", "where", "open_log", "delete"})


class MergeScreen(Reporting, Screen[None]):
    """A form, and the merge that was started from it; one that was made before comes first."""

    CSS_PATH = "merge.tcss"
    AUTO_FOCUS = "MergeList"
    HELP = """One adapter is written into its base, or several with a weight each. What cannot be
        merged right is refused, with the reason. A merge is a process of its own: leaving does not
        stop it, and opening it again shows it as it stands. Beside the result stands its proof:
        how far it is from base and adapter on held-out rows."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "export", "export", tooltip="Make GGUF files of what was merged"),
        Binding("a", "ask", "ask", tooltip="Chat with the combined adapter and its parents"),
        Binding("s", "stop", "stop", tooltip="End it; nothing unfinished is left"),
        Binding("r", "again", "again", tooltip="Back to what was merged, to change or repeat it"),
        Binding("q,escape", "back", "back", key_display="q"),
        Binding("w", "where", "where", tooltip="Where the result is; copies the path"),
        Binding("g", "open_log", "log", tooltip="What the engine printed"),
        Binding("D,delete", "delete", "delete", show=False, tooltip="Remove this merge"),
    ]

    class Opened(Message):
        """Whether these were merged before, and how."""

        def __init__(self, run: Run | None, draft: Draft | None) -> None:
            super().__init__()
            self.run, self.draft = run, draft

    class Arrived(Message):
        """A new frame of the thread that `cancelled` ends; only the latest is shown."""

        def __init__(self, frame: Frame[Merging], found: Left, cancelled: threading.Event) -> None:
            super().__init__()
            self.frame, self.found, self.cancelled = frame, found, cancelled

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, MergeScreen.Arrived) and message.cancelled is self.cancelled

    def __init__(self, members: Sequence[Member]) -> None:
        """Merge `members`, or show how they were merged."""
        super().__init__()
        self._members = tuple(members)
        self.frame: Frame[Merging] | None = None
        self.found = Left()
        self.is_form = True
        self._opened = asyncio.Event()
        self._cancelled = threading.Event()

    def compose(self) -> ComposeResult:
        yield TitleBar()
        yield Static(id="notice")
        yield MergeForm(self._members, id="form")
        yield Paper(id="result")
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Look whether these were merged before."""
        self._show_face()
        self.look_for_earlier()

    def on_unmount(self) -> None:
        """Let the thread go; the job goes on."""
        self._cancelled.set()

    @property
    def form(self) -> MergeForm:
        """What is merged, and how."""
        return self.query_one(MergeForm)

    # --- the threads ---------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False, group="open")
    def look_for_earlier(self) -> None:
        """Find the latest merge of the same members."""
        run = makings.latest("merge", [member.id for member in self._members])
        self.post_message(self.Opened(run, Draft.again(run) if run else None))

    @on(Opened)
    def show_what_there_is(self, event: Opened) -> None:
        """An earlier merge, live or ended; else the form."""
        self.form.take(event.draft or self.form.draft)
        if event.run is not None:
            self._follow(event.run)
        self._opened.set()

    def _follow(self, source: Run | Callable[[], Run]) -> None:
        self._cancelled.set()
        self._cancelled = threading.Event()
        plan = self.form.draft.plan
        now = Merging(plan.members, plan.weights, plan.method)
        self.frame, self.found, self.is_form = Frame(now), Left(), False
        hand_over = partial(self._hand_over, self._cancelled)
        self.follow_job(JobWatch(source, Folding(), self._cancelled, hand_over, **_KEPT))
        self._show_face()

    def _hand_over(self, cancelled: threading.Event, frame: Frame[Merging]) -> None:
        self.post_message(self.Arrived(frame, Left.of(frame.now), cancelled))

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_job(self, watch: JobWatch[Merging]) -> None:
        """Start the job or find it, and follow it until it is over, or the screen closes."""
        watch.run()

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        if event.cancelled is not self._cancelled or self.frame is None:
            return
        now = event.frame.now if event.frame.now.members else self.frame.now
        self.frame, self.found = replace(event.frame, now=now), event.found
        if self.is_active or self.app.screen.is_modal:
            self.lay_out()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile; files may have changed."""
        if self._opened.is_set() and self.is_form:
            self.form.look()
        self.lay_out()

    # --- showing -------------------------------------------------------------------------------

    def _show_face(self) -> None:
        paper = self.query_one("#result", Paper)
        self.form.display, paper.display = self.is_form, not self.is_form
        self.set_focus(self.query_one(MergeList) if self.is_form else paper)
        self.lay_out()

    @on(MergeForm.Changed)
    @on(Paper.Room)
    def make_room(self) -> None:
        """Lay everything out anew."""
        self.call_after_refresh(self.lay_out)

    def lay_out(self) -> None:
        """Draw what stands now."""
        form, frame = self.form, self.frame
        names = compare_words.names(form.draft.plan.members)
        self.query_one(TitleBar).trail = (cut(names, 40), "merge")
        foot = self.query_one("#foot", Painting)
        summary, hint = ("", "")
        if self.is_form or frame is None:
            foot.paint((merge_words.foot(form.outlook),))
        else:
            summary, hint = frame.failure
            paper = self.query_one("#result", Paper)
            paper.border_title = Content(cut(merge_page.title(frame.now), self.size.width - 6))
            paper.show(merge_page.rows(frame.now, self.found, paper.size.width - 1))
            foot.paint((merge_page.foot(frame, foot.size.width),))
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(summary), "-shown")
        notice.update(Content.assemble((plain(summary), "bold $text-error"), "\n", plain(hint)))
        self.refresh_bindings()

    # --- keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        frame = self.frame
        if action == "start":
            outlook = self.form.outlook
            return self.is_form and (outlook is None or not outlook.problems)
        if action not in _AFTER:
            return True
        if self.is_form or frame is None:
            return False
        if action in {"export", "where"}:
            return bool(self.found.model)
        if action == "ask":
            return bool(self.found.adapter)
        if action == "stop":
            return frame.state in {"running", "stopping"}
        if action == "again":
            return frame.is_over
        return frame.run is not None and (frame.is_over or action == "open_log")

    @asks
    async def action_start(self) -> None:
        """Begin, unless something is in the way that was not known yet when the key came."""
        await self._opened.wait()
        draft = self.form.draft
        found = await asyncio.to_thread(look_at, draft)
        if not self.is_form or found.problems:
            self.app.bell()
        elif await merge_asking.may_start(self.app, found):
            out = draft.folder if draft.out else None
            self._follow(partial(merge.start, draft.plan, out))

    @property
    def _run(self) -> Run:
        return cast("Run", cast("Frame[Merging]", self.frame).run)

    @asks
    async def action_stop(self) -> None:
        await merge_asking.stop(self.app, self._run, cast("Frame[Merging]", self.frame).state)

    @asks
    async def action_export(self) -> None:
        await merge_asking.export(self.app, self.found.model)

    @asks
    async def action_ask(self) -> None:
        members = cast("Frame[Merging]", self.frame).now.members
        await merge_asking.ask(self.app, self.found.adapter, members)

    @asks
    async def action_delete(self) -> None:
        if await merge_asking.delete(self.app, self._run, self.found.model):
            self.frame = None
            self.action_again()

    def action_again(self) -> None:
        self.is_form = True
        self._show_face()
        self.form.look()

    def action_where(self) -> None:
        merge_asking.say_where(self.app, self.found.model)

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(self._run))

    def action_back(self) -> None:
        """From the form back to what it came from."""
        if self.is_form and self.frame is not None:
            self.is_form = False
            self._show_face()
        else:
            self.dismiss()
