"""Adapters written into their base: what goes in and how much, then the proof of what came out."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from lora_tui.core import makings
from lora_tui.core.members import Member
from lora_tui.core.merging import Folding, Merging
from lora_tui.core.runs import Run
from lora_tui.jobs import merge
from lora_tui.tui import compare_words, merge_asking, merge_page, merge_words
from lora_tui.tui.columns import cut
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.merge_outlook import look_at
from lora_tui.tui.merge_page import Left
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.job import JobScreen
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.merge_form import MergeForm, MergeList
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar

_AFTER = frozenset({"export", "ask", "stop", "again", "where", "open_log", "delete"})


class MergeScreen(JobScreen[Merging]):
    """A form, and the merge that was started from it; one that was made before comes first."""

    CSS_PATH = "merge.tcss"
    SAYS: ClassVar[dict[str, str]] = {"kept": "nothing of it is left", "again": merge_page.AGAIN}
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

    def __init__(self, members: Sequence[Member], run: Run | None = None) -> None:
        """Merge `members`, or show how they were merged: by `run`, else by the latest of them."""
        super().__init__()
        self._members, self._run = tuple(members), run
        self.found = Left()
        self.is_form = True
        self._opened = asyncio.Event()

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

    @property
    def form(self) -> MergeForm:
        """What is merged, and how."""
        return self.query_one(MergeForm)

    # --- the threads ---------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False, group="open")
    def look_for_earlier(self) -> None:
        """Find the merge that is asked for, else the latest of the same members."""
        run, draft = self._run, None
        try:
            run = run or makings.latest("merge", [member.id for member in self._members])
            draft = Draft.again(run) if run else None
        finally:  # or every key would wait for it
            self.post_message(self.Opened(run, draft))

    @on(Opened)
    def show_what_there_is(self, event: Opened) -> None:
        """An earlier merge, live or ended; else the form."""
        if event.draft is not None:
            self.form.take(event.draft)
        if event.run is not None:
            self._show_job(event.run)
        self._opened.set()

    def _show_job(self, source: Run | Callable[[], Run]) -> None:
        plan = self.form.draft.plan
        self.found, self.is_form = Left(), False
        self.follow(source, Folding(Merging(plan.members, plan.weights, plan.method)))
        self._show_face()

    def look_beside(self, frame: Frame[Merging]) -> Left:
        """What of the merge is on the disk."""
        return Left.of(frame.now)

    def took(self, frame: Frame[Merging], beside: Left) -> None:
        """Keep a frame, and what is on the disk."""
        self.frame, self.found = frame, beside

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
        foot = self.query_one("#foot", Painting)
        members, (summary, hint) = form.draft.plan.members, ("", "")
        if self.is_form or frame is None:
            foot.paint((merge_words.foot(form.outlook),))
        else:
            members, (summary, hint) = frame.now.members, frame.failure
            paper = self.query_one("#result", Paper)
            paper.border_title = Content(cut(merge_page.title(frame.now), self.size.width - 6))
            paper.show(merge_page.rows(frame.now, self.found, paper.size.width - 1))
            foot.paint((merge_page.foot(frame, self.found, foot.size.width),))
        self.query_one(TitleBar).trail = (cut(compare_words.names(members), 40), "merge")
        self.show_notice(summary, hint)
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
            self._show_job(partial(merge.start, draft.plan, out))

    @asks
    async def action_stop(self) -> None:
        await merge_asking.stop(self.app, self.run_shown, cast("Frame[Merging]", self.frame).state)

    @asks
    async def action_export(self) -> None:
        await merge_asking.export(self.app, self.found.model)

    @asks
    async def action_ask(self) -> None:
        members = cast("Frame[Merging]", self.frame).now.members
        await merge_asking.ask(self.app, self.found.adapter, members)

    @asks
    async def action_delete(self) -> None:
        if await merge_asking.delete(self.app, self.run_shown, self.found.model):
            self.frame = None
            self.action_again()

    def action_again(self) -> None:
        self.is_form = True
        self._show_face()
        self.form.look()

    def action_where(self) -> None:
        merge_asking.say_where(self.app, self.found.model)

    def action_back(self) -> None:
        """From the form back to what it came from."""
        if self.is_form and self.frame is not None:
            self.is_form = False
            self._show_face()
        else:
            self.dismiss()
