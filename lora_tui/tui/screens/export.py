"""A result written as GGUF: which types, what becomes of this model in them, and each proof."""

import asyncio
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList, Static

from lora_tui.core.exporting import Exporting, ExportPlan, Folding
from lora_tui.core.members import Member
from lora_tui.jobs import export
from lora_tui.tui import export_detail, export_flows
from lora_tui.tui import export_words as words
from lora_tui.tui.columns import cut
from lora_tui.tui.export_keys import KEYS, can
from lora_tui.tui.export_offer import USUAL, Choice, Offer, OfferWatch
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.job import JobScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.page import PageScreen
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.title_bar import TitleBar
from lora_tui.tui.widgets.type_list import Columns, TypeList, TypeRow

_PROBLEMS = 4  # lines of the screen for what is wrong


class ExportScreen(JobScreen[Exporting]):
    """Looks up what can be exported in one thread, follows an export in another."""

    CSS_PATH = "export.tcss"
    SAYS: ClassVar[dict[str, str]] = {
        "kept": "files that were whole are kept",
        "again": "x goes on with it.",
    }
    AUTO_FOCUS = "TypeList"
    HELP = """Each type is a file that llama.cpp and Ollama run. Sizes with ~ are estimates, made
        from this model's own shapes, which do not fit every type: what is really used stands
        beside. Each file is proven: llama.cpp computes on it what torch computes on the model, and
        the difference is held to the limit of its type. An export is a process of its own: leaving
        does not stop it, and e on the same run opens it again."""
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Looked(Message):
        """What can be exported, as it was looked up last; None once nobody looks any more."""

        def __init__(self, offer: Offer | None) -> None:
            super().__init__()
            self.offer = offer

    def __init__(self, member: Member) -> None:
        """Export `member`."""
        super().__init__()
        self.member = member
        self._called = cut(member.name if member.run else Path(member.name).name, 40)
        self.choice = Choice()
        self.offer = Offer(self.choice)
        self._wanted: Latest[Choice | None] = Latest(None)
        self._looked = asyncio.Event()

    def compose(self) -> ComposeResult:
        yield TitleBar(self._called, "export")
        yield Painting(id="head")
        yield Static(id="notice")
        yield TypeList()
        yield Painting(id="detail")
        yield Painting(id="uses")
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to look."""
        types = self.query_one(TypeList)
        types.border_title = Content("GGUF files")
        types.show((), empty="Looking at the model ...")
        self.look_up()

    def on_unmount(self) -> None:
        """Let the thread that looks go too."""
        self._wanted.set()

    # --- the threads ---------------------------------------------------------------------------

    @work(thread=True, exit_on_error=False, group="follow")
    def look_up(self) -> None:
        """Look at the model and the disk, and again when something else is chosen."""
        hand_over = lambda offer: self.post_message(self.Looked(offer))  # noqa: E731
        try:
            OfferWatch(self.member, self._wanted, hand_over).run()
        finally:
            self._wanted.set()
            self.post_message(self.Looked(None))

    @on(Looked)
    def take_offer(self, event: Looked) -> None:
        """Show what was found; at first also what was chosen when it was exported last."""
        is_first = not self.choice.folder
        self.offer = event.offer or self.offer
        if event.offer is None and is_first:
            self.query_one(TypeList).show((), empty="It could not be looked at.")
        elif event.offer is not None and is_first:
            self.choice = event.offer.choice
            self.query_one(TypeList).expect(next(iter(self._ticked), ""))
            if event.offer.latest is not None and self.frame is None:
                self.follow(event.offer.latest, Folding())
        self._note_looked()
        self.show_if_seen()

    def _note_looked(self) -> None:
        """Whether the offer is that of the choice, or will never be."""
        is_of_it = bool(self.offer.kinds) and self.offer.choice == self.choice
        (self._looked.set if is_of_it or self._wanted.is_set() else self._looked.clear)()

    def took(self, frame: Frame[Exporting], beside: None) -> None:
        """Keep a frame; once the job is over, what it left is looked up."""
        was_live = words.is_live(self.frame)
        self.frame = frame
        if was_live and frame.is_over:
            self._choose(looks=self.choice.looks + 1)

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self.lay_out()

    # --- showing -------------------------------------------------------------------------------

    def show_if_seen(self) -> None:
        """Draw, here or on the page of a type that covers this."""
        super().show_if_seen()
        if isinstance(self.app.screen, PageScreen):
            self.app.screen.show()

    def lay_out(self) -> None:
        """Show everything as it is now."""
        if not self.is_mounted:
            return
        offer, choice, frame = self.offer, self.choice, self.frame
        if lines := words.lines(offer, choice, frame):
            columns = Columns.of(lines)
            self.query_one(TypeList).show([TypeRow(line, columns) for line in lines])
        head = self.query_one("#head", Painting)
        head.paint(words.head(offer, choice, head.size.width))
        self.show_notice(*words.notice(offer, frame, _PROBLEMS))
        self._show_detail()
        foot = self.query_one("#foot", Painting)
        foot.paint((words.foot(offer, choice, frame, foot.size.width),))
        self.refresh_bindings()

    @on(OptionList.OptionHighlighted)
    def _show_detail(self) -> None:
        detail, uses = self.query_one("#detail", Painting), self.query_one("#uses", Painting)
        width, height = detail.size
        about = export_detail.short(self._chosen, self.offer, self.choice, self.frame, width)
        detail.paint(tuple(about)[:height])
        typed = export_detail.uses(self.frame, self.member)
        uses.styles.height = len(typed)
        uses.set_class(bool(typed), "-shown")
        uses.paint(export_detail.use_lines(typed, self.size.width - 2))

    def on_resize(self) -> None:
        """Fit everything to the new room."""
        self.call_after_refresh(self.lay_out)

    # --- keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "copy":
            return bool(self._copyable)
        if (action, parameters) == ("export", (False,)) and not self._looked.is_set():
            return not words.is_live(self.frame)  # it waits for what is known
        return can(action, parameters, self.offer, self.choice, self.frame)

    @property
    def _chosen(self) -> str:
        return self.query_one(TypeList).chosen or ""

    @property
    def _ticked(self) -> tuple[str, ...]:
        return tuple(kind.quant for kind in self.offer.kinds if kind.quant in self.choice.quants)

    def _choose(self, **changes: Any) -> None:
        self.choice = replace(self.choice, **changes)
        self._wanted.want(self.choice)
        self._note_looked()
        self.lay_out()

    def action_tick(self) -> None:
        """Tick the type at the cursor, or take its tick away, and go on to the next."""
        kind = next((one for one in self.offer.kinds if one.quant == self._chosen), None)
        if kind is None or (kind.refused and kind.quant not in self.choice.quants):
            self.app.bell()
            return
        self._choose(quants=self.choice.quants ^ {kind.quant})
        self.query_one(TypeList).go_on()

    def action_usual(self) -> None:
        """Tick the usual types; with some ticked, none."""
        offered = (kind.quant for kind in self.offer.kinds if not kind.refused)
        usual = frozenset(quant for quant in offered if quant in USUAL)
        self._choose(quants=frozenset() if self.choice.quants else usual)

    @on(OptionList.OptionSelected)
    def action_look(self) -> None:
        """All that is known of the type at the cursor."""
        if quant := self._chosen:
            page = partial(export_detail.page, quant)
            about = lambda width: page(self.offer, self.choice, self.frame, width)  # noqa: E731
            self.app.push_screen(PageScreen(about, self._called, quant))

    @asks
    async def action_export(self, again: bool) -> None:
        await self._looked.wait()
        latest = self.offer.latest if words.is_live(self.frame) else None
        if not self.offer.kinds or self.offer.problems or await export_flows.goes_on(latest):
            self.app.bell()
            return
        quants, folder = self._ticked, self.choice.folder
        plan = ExportPlan(member=self.member, quants=quants, folder=folder, again=again)
        if await export_flows.may_start(self.app, plan):
            self.query_one(TypeList).expect(quants[0])
            self.follow(partial(export.start, plan), Folding())
            self.lay_out()

    @asks
    async def action_stop(self) -> None:
        state = cast("Frame[Exporting]", self.frame).state
        await export_flows.stop(self.app, self.run_shown, state)

    @asks
    async def action_ask_folder(self) -> None:
        folder = await export_flows.ask_folder(self.app, self.choice.folder)
        if folder is not None:
            self._choose(folder=folder)

    @asks
    async def action_copy(self) -> None:
        await export_flows.copy(self.app, self._copyable)

    @property
    def _copyable(self) -> list[tuple[str, str]]:
        made = words.made_of(self._chosen, self.offer, self.choice, self.frame)
        return export_detail.copyable(made, self.frame, self.member)

    def action_warnings(self) -> None:
        frame = cast("Frame[Exporting]", self.frame)
        self.app.push_screen(Notice("Warnings", "\n\n".join(frame.now.warnings)))

    def action_back(self) -> None:
        self.dismiss()
