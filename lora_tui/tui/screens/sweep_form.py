"""The form of a sweep: the values of each setting, and beside them what that comes to."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import OptionList

from lora_tui.core import grids
from lora_tui.core.measured import Measured, collect
from lora_tui.core.presets import Preset
from lora_tui.core.sweep_plan import Plan
from lora_tui.jobs import sweep as sweeping
from lora_tui.tui import sweep_flows, sweep_page
from lora_tui.tui.columns import cut, left, width_of
from lora_tui.tui.failures import Reporting
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.sweep_draft import NAME, SWITCHES, Draft
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.row_list import RowList
from lora_tui.tui.widgets.title_bar import TitleBar

_LABEL = 24
_LABELS = {"with_full": "full fine-tuning too", "halving": "halving", NAME: "name"}
_NOTES = {"with_full": "the baseline", "halving": "stops what is losing"}


@dataclass(frozen=True, slots=True)
class SweepLine:
    """A line of the form."""

    key: str
    value: str
    note: str = ""

    def content(self, width: int) -> Content:
        label = left(_LABELS.get(self.key, self.key), min(_LABEL, width // 2))
        room = max(0, width - min(_LABEL, width // 2) - 1)
        value = cut(self.value, room)
        note = cut(self.note, max(0, room - width_of(value) - 2))
        return Content.assemble(
            (label, "$foreground-muted"), " ", (value, "$text"), (f"  {note}", "$foreground-muted")
        )


class SweepLines(RowList):
    """Settings with their values, then what else there is to decide."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "screen.start", "start", tooltip="Queue all runs"),
        Binding("enter", "select", "edit", tooltip="Type other values, or turn a switch"),
        Binding("plus", "screen.add", "add", key_display="+", tooltip="Sweep over one more"),
        Binding("x,delete", "screen.remove", "remove", tooltip="Leave this setting as it is"),
        Binding("space,left,right", "screen.turn", "turn", key_display="space"),
    ]


class SweepForm(Reporting, Screen[None]):
    """Edits a draft; a thread says what follows from the latest one."""

    CSS_PATH = "sweep.tcss"
    AUTO_FOCUS = "SweepLines"
    HELP = """One run for each combination of values. Beside them stands what all of it takes, and
        what is in its way. The runs queue: they go on when this is left and when the app is
        closed."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "back", "back", key_display="q"),
    ]

    class Planned(Message):
        """What a draft comes to."""

        def __init__(self, draft: Draft, plan: Plan) -> None:
            super().__init__()
            self.draft, self.plan = draft, plan

    def __init__(self, preset: Preset) -> None:
        super().__init__()
        self.draft = Draft.of(preset, f"{preset.name or 'preset'}-sweep")
        self._seen: tuple[Draft, Plan] | None = None
        self._wanted = Latest(self.draft)

    def compose(self) -> ComposeResult:
        yield TitleBar(self.draft.preset.name, "sweep")
        with Container(id="body"):
            yield SweepLines(id="lines", classes="pane")
            yield Paper(id="plan")
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to plan."""
        self.query_one(SweepLines).border_title = Content("Sweep over")
        self.watch_draft()
        self.lay_out()

    def on_unmount(self) -> None:
        """Let the thread go."""
        self._wanted.set()

    # --- showing -------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan | None:
        """What the draft as it is now comes to; None before that is known."""
        return self._seen[1] if self._seen and self._seen[0] == self.draft else None

    @work(thread=True, exit_on_error=False, group="follow")
    def watch_draft(self) -> None:
        """Plan the latest draft; headers of big files take a moment to read."""
        found: list[Measured] | None = None
        wanted = self._wanted
        while not wanted.is_set():
            now = wanted.value
            found = collect() if found is None else found
            self.post_message(self.Planned(now, sweeping.plan(now.asked, found)))
            while not wanted.is_set() and wanted.value == now:
                wanted.wait()

    @on(Planned)
    def take_plan(self, message: Planned) -> None:
        """Show it, if it is that of the draft as it is now."""
        self._seen = message.draft, message.plan
        self.lay_out()

    @on(Paper.Room)
    def lay_out(self) -> None:
        """Draw what stands now; the plan before it stays until the next is known."""
        draft, shown = self.draft, self.plan or (self._seen[1] if self._seen else None)
        lines = [SweepLine(key, grids.typed(draft.grid[key])) for key in draft.grid]
        switches = {key: "yes" if getattr(draft, key) else "no" for key in SWITCHES}
        lines += [SweepLine(key, said, _NOTES[key]) for key, said in switches.items()]
        lines.append(SweepLine(NAME, draft.name))
        self.query_one(SweepLines).show(lines)
        paper = self.query_one("#plan", Paper)
        paper.show(sweep_page.plan_rows(shown, paper.content_size.width - 1))
        self.query_one("#foot", Painting).paint((sweep_page.foot(self.plan),))
        self.refresh_bindings()

    @on(OptionList.OptionHighlighted)
    def show_keys(self) -> None:
        """Other keys do something on another line."""
        self.refresh_bindings()

    def _take(self, draft: Draft | None) -> None:
        if draft is not None and draft != self.draft:
            self.draft = draft
            self._wanted.want(draft)
            self.lay_out()

    # --- keys ----------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        """The line at the cursor."""
        return self.query_one(SweepLines).chosen or self.draft.keys[0]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "start":
            return self.plan is None or not self.plan.problems
        if action == "remove":
            return self._key in self.draft.grid and len(self.draft.grid) > 1
        return action != "turn" or self._key in SWITCHES

    @on(OptionList.OptionSelected)
    def edit(self) -> None:
        """Ask for other values of the line at the cursor; a switch turns."""
        self._ask(lambda: sweep_flows.edit(self.app, self.draft, self._key))

    def action_add(self) -> None:
        self._ask(lambda: sweep_flows.add(self.app, self.draft))

    @asks
    async def _ask(self, flow: Callable[[], Coroutine[Any, Any, Draft | None]]) -> None:
        self._take(await flow())

    def action_turn(self) -> None:
        self._take(self.draft.turned(self._key))

    def action_remove(self) -> None:
        self._take(self.draft.without(self._key))

    @asks
    async def action_start(self) -> None:
        """Begin, unless something is in the way that was not known yet when the key came."""
        draft = self.draft
        plan = await asyncio.to_thread(sweeping.plan, draft.asked)
        if plan.problems:
            self._seen = draft, plan
            self.lay_out()
            self.app.bell()
        else:
            await sweep_flows.start(self, draft.asked)

    def action_back(self) -> None:
        self.dismiss()
