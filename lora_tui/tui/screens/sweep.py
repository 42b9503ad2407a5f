"""A sweep: its runs as a table, their curves over each other, and quality over size."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.widgets import OptionList

from lora_tui.core import states
from lora_tui.core.overlay import KINDS
from lora_tui.core.overview import Board
from lora_tui.core.summary import Headline
from lora_tui.core.sweeps import Sweep
from lora_tui.tui import sweep_words
from lora_tui.tui.columns import cut
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.marking import MarkingScreen
from lora_tui.tui.sweep_watching import Frame, Look, SweepWatch
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.run_list import changes
from lora_tui.tui.widgets.sweep_list import SweepList, SweepTable
from lora_tui.tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp

_KINDS = {"held-out": "held-out loss", "loss": "train loss, smoothed"}
_TRADE = "held-out loss over size"
_WIDE = 104  # columns from which both charts have room


class Picture(Painting):
    """A chart that was drawn elsewhere."""

    class Room(Message):
        """There is other room for it now."""

    def on_resize(self) -> None:
        """Ask for one of the new size."""
        self.post_message(self.Room())


class SweepScreen(MarkingScreen):
    """Follows the runs of a sweep in a thread; the event loop only shows finished frames."""

    CSS_PATH = "sweep.tcss"
    AUTO_FOCUS = "SweepList"
    HELP = """Each run has its letter in the table and in both charts. What is best in a column has
        a star; the trade-off is of the runs that finished. The runs go on, one after another,
        when this is left and when the app is closed; o on Home finds the sweep again."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,escape", "back", "back", key_display="q"),
        Binding("z", "log_scale", "scale", show=False, tooltip="Linear or logarithmic"),
        Binding("D", "forget", "forget", show=False, tooltip="Remove the sweep; its runs stay"),
    ]

    frame: var[Frame] = var(Frame())

    class Arrived(Message):
        """A new frame; of several waiting ones only the latest is shown."""

        def __init__(self, frame: Frame) -> None:
            super().__init__()
            self.frame = frame

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, SweepScreen.Arrived)

    def __init__(self, sweep: Sweep) -> None:
        super().__init__()
        self.sweep = sweep
        self._looking = Latest(Look(chosen=sweep.runs[0].id if sweep.runs else ""))
        self._latest = Frame()

    def compose(self) -> ComposeResult:
        yield TitleBar(cut(self.sweep.name, 40), "sweep")
        yield SweepTable(classes="pane")
        with Container(id="charts"):
            yield Picture(id="curves")
            yield Picture(id="trade")
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to follow."""
        table = self.query_one(SweepTable)
        keys = ", ".join(self.sweep.grid)
        table.border_title = Content(cut(f"Runs over {keys}", 60))
        self.query_one("#trade", Picture).border_title = Content(_TRADE)
        self.follow_runs()

    def on_unmount(self) -> None:
        """Let the thread go; the runs go on."""
        self._looking.set()

    # --- the thread ----------------------------------------------------------------------------

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_runs(self) -> None:
        """Read and draw until the screen closes."""
        hand_over = lambda frame: self.post_message(self.Arrived(frame))  # noqa: E731
        SweepWatch(self.sweep, self._looking, hand_over).run()

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        self._latest = event.frame
        if self.is_active or self.app.screen.is_modal:
            self._show_latest()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self._show_latest()

    # --- showing -------------------------------------------------------------------------------

    @on(SweepTable.Room)
    def _show_latest(self) -> None:
        frame = self.frame = self._latest
        if not frame.rows:
            return
        self.board = Board(self.sweep.runs, frame.lines)
        self.query_one(SweepTable).show(frame.rows)
        curves, trade = self.query_one("#curves", Picture), self.query_one("#trade", Picture)
        curves.border_title = Content(_KINDS[frame.look.kind] + ", log scale" * frame.look.log)
        curves.paint(frame.curves)
        trade.paint(frame.trade)
        foot = self.query_one("#foot", Painting)
        foot.paint((sweep_words.foot(frame.rows, foot.size.width),))
        self.refresh_bindings()

    @on(Picture.Room)
    def make_room(self) -> None:
        """Ask for charts that fit."""
        self.call_after_refresh(self._ask_for_room)

    def _ask_for_room(self) -> None:
        curves, trade = self.query_one("#curves", Picture), self.query_one("#trade", Picture)
        curves_room, trade_room = _room(curves), _room(trade)
        self._look(curves=curves_room, trade=trade_room)
        self._show_latest()

    def _look(self, **changed: Any) -> None:
        self._looking.want(replace(self._looking.value, **changed))

    @on(OptionList.OptionHighlighted)
    def choose(self) -> None:
        """The run at the cursor stands out in the charts."""
        self._look(chosen=self.query_one(SweepList).chosen or "")
        self.refresh_bindings()

    # --- keys ----------------------------------------------------------------------------------

    @property
    def line(self) -> Headline | None:
        """The headline of the run at the cursor."""
        chosen = self.query_one(SweepList).chosen
        return next((line for run, line in self.frame.lines.items() if run.id == chosen), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "change_run":
            return parameters[0] in changes(self.line)
        if action == "open_log":
            return self.line is not None
        if action == "stop_all":
            return any(row.state in states.STOPPABLE for row in self.frame.rows)
        if action == "other_chart":
            return self.size.width < _WIDE
        return super().check_action(action, parameters)

    @on(OptionList.OptionSelected)
    def open_run(self, event: OptionList.OptionSelected) -> None:
        """Watch the run at the cursor, or look at how it went."""
        run = next((run for run in self.frame.lines if run.id == event.option_id), None)
        if run is None:
            self.notify("That run is gone.", severity="warning")
        else:
            cast("LoraTuiApp", self.app).open_run(run)

    def action_other_chart(self) -> None:
        self.toggle_class("-trade")
        self.make_room()

    def action_kind(self) -> None:
        now = self._looking.value.kind
        self._look(kind=KINDS[(KINDS.index(now) + 1) % len(KINDS)])

    def action_log_scale(self) -> None:
        self._look(log=not self._looking.value.log)

    def action_open_log(self) -> None:
        if self.line:
            cast("LoraTuiApp", self.app).open_log(self.line.run)

    @asks
    async def action_change_run(self, how: str) -> None:
        """Stop, pause, resume, move or delete the run at the cursor."""
        from lora_tui.tui import run_flows

        if self.line:
            await getattr(run_flows, how)(self.app, self.line)

    @asks
    async def action_stop_all(self) -> None:
        from lora_tui.tui import sweep_flows

        await sweep_flows.stop_all(self.app, self.sweep)

    @asks
    async def action_write(self) -> None:
        from lora_tui.tui import sweep_flows

        await sweep_flows.write(self.app, self.sweep)

    @asks
    async def action_forget(self) -> None:
        from lora_tui.tui import sweep_flows

        if await sweep_flows.forget(self.app, self.sweep):
            self.dismiss()

    def action_back(self) -> None:
        self.dismiss()


def _room(picture: Picture) -> tuple[int, int]:
    """The cells for a chart; none for one that is not shown."""
    return (picture.content_size.width, picture.content_size.height) if picture.display else (0, 0)
