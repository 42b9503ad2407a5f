"""Runs and adapters side by side: what they cost, what came of them, what they say."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Union, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import Static

from lora_tui.core.members import Member
from lora_tui.core.overlay import AXES, KINDS
from lora_tui.core.runs import Run
from lora_tui.tui import compare_flows
from lora_tui.tui import compare_words as words
from lora_tui.tui.columns import cut, plain
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.compare_watching import CompareWatch, Frame
from lora_tui.tui.compare_words import PANES
from lora_tui.tui.failures import Reporting
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.compare_page import ComparePage
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from lora_tui.jobs.compare import Asked

_BACK = "Leave; what is being measured goes on, and o on Home opens it again"


class CompareScreen(Reporting, Screen[None]):
    """Follows a comparison in a thread; the event loop only shows finished pages."""

    CSS_PATH = "compare.tcss"
    AUTO_FOCUS = "#page"
    HELP = """All members are measured on the same rows and asked the same, the base first. Each has
        its letter in every pane; left and right choose one. What is best in a row has a star. A
        comparison is a process of its own and is kept in a folder: leaving does not stop it, and o
        on Home opens it again."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "pane(1)", "pane", tooltip="Table, curves, outputs, how far each moved"),
        Binding("shift+tab", "pane(-1)", "pane before", show=False),
        *(
            Binding(str(at), f"go_to_pane({at - 1})", name, show=False)
            for at, name in enumerate(PANES, 1)
        ),
        Binding(
            "right",
            "member(1)",
            "member",
            key_display="arrows",
            tooltip="Choose a member: left, right",
        ),
        Binding("left", "member(-1)", "member before", show=False),
        Binding("S", "stop", "stop", tooltip="End the measuring; what there is is kept"),
        Binding("r", "again", "anew", tooltip="Measure the same members anew"),
        Binding("n,right_square_bracket", "prompt(1)", "prompt", key_display="n/N"),
        Binding("N,left_square_bracket", "prompt(-1)", "prompt before", show=False),
        Binding("l", "kind", "loss", tooltip="Train loss, or the loss on held-out rows"),
        Binding("x", "axis", "axis", tooltip="By step, by tokens, by time"),
        Binding("z", "log_scale", "scale", tooltip="Linear or logarithmic"),
        Binding("q,escape", "back", "back", key_display="q", tooltip=_BACK),
        Binding("plus", "add", "add", key_display="+", tooltip="Another run or adapter too"),
        Binding("p", "ask_prompts", "prompts", tooltip="Ask other prompts, or otherwise"),
        Binding("a", "chat", "ask", tooltip="Chat with these"),
        Binding("v", "advice", "advice", tooltip="What to change in the chosen run's preset"),
        Binding("w", "where", "where", tooltip="Where it is kept; copies the path"),
        Binding("g", "open_log", "log", tooltip="What the engine printed"),
        Binding("D,delete", "delete", "delete", show=False, tooltip="Remove this comparison"),
    ]

    frame: var[Frame] = var(Frame())

    class Arrived(Message):
        """A new frame; of several waiting ones only the latest is shown."""

        def __init__(self, frame: Frame) -> None:
            super().__init__()
            self.frame = frame

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, CompareScreen.Arrived)

    def __init__(self, members: Sequence[Member], source: Union[Run, "Asked"]) -> None:
        """Show the comparison `source`, or have `members` compared as it asks."""
        super().__init__()
        self.members = tuple(members)
        self._source = source
        self._looking = Latest(Look())
        self._latest = Frame()
        self._page: tuple[str, int] = ("", 0)

    def compose(self) -> ComposeResult:
        yield TitleBar(cut(words.names(self.members), 40), "compare")
        yield Static(id="notice")
        yield ComparePage()
        yield Painting(id="foot")
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin; the first page is laid out when there is room for it."""
        self.follow_job()

    def on_unmount(self) -> None:
        """Let the thread go; the job goes on."""
        self._looking.set()

    # --- the thread ----------------------------------------------------------------------------

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_job(self) -> None:
        """Start the job or find it, follow it and lay out until the screen closes."""
        hand_over = lambda frame: self.post_message(self.Arrived(frame))  # noqa: E731
        CompareWatch(self.members, self._source, self._looking, hand_over).run()

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

    def _show_latest(self) -> None:
        before, self.frame = self.frame, self._latest
        frame = self.frame
        if not self.members and frame.comparison.columns:
            columns = frame.comparison.columns
            self.members = tuple(one.member for one in columns if not one.is_base)
            names = cut(words.names(self.members), 40)
            self.query_one(TitleBar).trail = (names, "compare")
        self._show_notice()
        look = frame.look
        page = look.pane, look.prompt if look.pane == "outputs" else 0
        self.query_one(ComparePage).show(
            frame.head, frame.page, look.pane, at_top=page != self._page
        )
        self._page = page
        self._show_foot()
        if _keys(before) != _keys(frame):
            self.refresh_bindings()

    def _show_notice(self) -> None:
        summary, hint = self.frame.failure
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(summary), "-shown")
        notice.update(Content.assemble((plain(summary), "bold $text-error"), "\n", plain(hint)))

    def _show_foot(self) -> None:
        frame, foot = self.frame, self.query_one("#foot", Painting)
        path = str(frame.run.path) if frame.run else ""
        paper = self.query_one("#page", Paper)
        is_seen = frame.look.pane == "table" and paper.max_scroll_y <= 0
        said = words.foot(
            frame.comparison, frame.state, frame.seconds, path, foot.size.width, is_seen=is_seen
        )
        foot.paint((said,))

    @on(Paper.Room)
    def make_room(self) -> None:
        """Ask for a page that fits."""
        self.call_after_refresh(self._ask_for_room)

    def _ask_for_room(self) -> None:
        width, height = self.query_one(ComparePage).room
        self._look(width=width, height=height)
        self._show_foot()

    def _look(self, **changes: Any) -> None:
        self._looking.want(replace(self._looking.value, **changes))
        self.refresh_bindings()

    # --- moving --------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        pane, frame = self._looking.value.pane, self.frame
        if action in {"kind", "axis", "log_scale"}:
            return pane == "curves"
        if action == "prompt":
            return pane == "outputs" and len(frame.comparison.prompts) > 1
        if action == "stop":
            return frame.state in {"running", "stopping"}
        if action in {"where", "open_log", "delete"}:
            return frame.run is not None
        if action == "again":
            refused = any(column.refused for column in frame.comparison.columns)
            ended_early = frame.state in {"failed", "stopped", "crashed"}
            return ended_early or (refused and frame.state == "finished")
        if action == "advice":
            column = self._column
            return column is not None and bool(column.member.run)
        return True

    @property
    def _column(self) -> Any:
        columns, chosen = self.frame.comparison.columns, self._looking.value.chosen
        return columns[chosen] if chosen < len(columns) else None

    def action_pane(self, by: int) -> None:
        here = PANES.index(self._looking.value.pane)
        self.action_go_to_pane((here + by) % len(PANES))

    def action_go_to_pane(self, place: int) -> None:
        self._look(pane=PANES[place])

    def action_member(self, by: int) -> None:
        last = len(self.frame.comparison.columns) - 1
        self._look(chosen=max(0, min(self._looking.value.chosen + by, last)))

    def action_prompt(self, by: int) -> None:
        last = len(self.frame.comparison.prompts) - 1
        self._look(prompt=max(0, min(self._looking.value.prompt + by, last)))

    def action_kind(self) -> None:
        self._look(kind=_after(KINDS, self._looking.value.kind))

    def action_axis(self) -> None:
        self._look(axis=_after(AXES, self._looking.value.axis))

    def action_log_scale(self) -> None:
        self._look(log=not self._looking.value.log)

    # --- what else can be done -----------------------------------------------------------------

    @asks
    async def action_add(self) -> None:
        await compare_flows.add(self, self.frame, self.members)

    @asks
    async def action_ask_prompts(self) -> None:
        await compare_flows.other_prompts(self, self.frame, self.members)

    @asks
    async def action_again(self) -> None:
        await compare_flows.again(self, self.frame, self.members)

    @asks
    async def action_chat(self) -> None:
        await compare_flows.ask(self.app, self.members)

    @asks
    async def action_advice(self) -> None:
        await compare_flows.advise(self.app, self.frame.comparison, self._column)

    @asks
    async def action_stop(self) -> None:
        await compare_flows.stop(self.app, cast("Run", self.frame.run))

    @asks
    async def action_delete(self) -> None:
        if await compare_flows.delete(self.app, cast("Run", self.frame.run)):
            self.dismiss()

    def action_where(self) -> None:
        compare_flows.say_where(self.app, cast("Run", self.frame.run))

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(cast("Run", self.frame.run)))

    def action_back(self) -> None:
        self.dismiss()


def _after(choices: Sequence[str], present: str) -> str:
    return choices[(choices.index(present) + 1) % len(choices)]


def _keys(frame: Frame) -> tuple[object, ...]:
    """What decides which keys are offered."""
    return frame.state, frame.run, len(frame.comparison.prompts), len(frame.comparison.columns)
