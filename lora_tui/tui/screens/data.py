"""The data of a preset: what a run would be trained on, row by row and in figures."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.widgets import Static

from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import Preset
from lora_tui.tui import data_flows, look_flows
from lora_tui.tui.columns import plain
from lora_tui.tui.data_frames import Frame, Room, Wish
from lora_tui.tui.data_watching import DataWatch
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.looking import LookingScreen
from lora_tui.tui.wanting import Wishes
from lora_tui.tui.widgets.data_panes import FiguresPane, RowPane
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar

_MUTED = "$foreground-muted"
_WIDE = 116  # columns from which figures and rows stand side by side


class DataScreen(LookingScreen):
    """Has a report made in another process, and shows it while it grows."""

    CSS_PATH = "data.tcss"
    AUTO_FOCUS = "#facts"
    HORIZONTAL_BREAKPOINTS = [(0, "-single"), (_WIDE, "-double")]
    HELP = """What a run of this preset would be trained on. Every row is read as a run reads it:
        through the model's template, cut where a run cuts it, with the tokens marked that count.
        Changes are to the preset, and saved only when you say so."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "map", "map", tooltip="Say which column is what"),
        Binding("c", "check", "check", tooltip="Would a run of it work"),
        Binding("n,right", "row('by', 1)", "row", key_display="n/p", tooltip="The next row"),
        Binding("p,left", "row('by', -1)", "row before", show=False, tooltip="The row before"),
        Binding("o", "row('odd', 1)", "odd", tooltip="The next row that is left out, cut or odd"),
        Binding("O", "row('odd', -1)", "odd before", show=False, key_display="O"),
        Binding("v", "row('kind')", "view", tooltip="As it is trained on, or as it came"),
        Binding("g", "go_to", "go to", tooltip="A row by its number"),
        Binding("home", "row('first')", "first row", show=False),
        Binding("end", "row('last')", "last row", show=False),
        *(
            Binding(
                str(at),
                f"mend({at - 1})",
                f"remedy {at}",
                show=False,
                tooltip="What it says, at once",
            )
            for at in range(1, 10)
        ),
    ]

    frame: var[Frame] = var(Frame())

    class Arrived(Message):
        """A new frame of the thread that has `wishes`."""

        def __init__(self, frame: Frame, wishes: Wishes[Wish]) -> None:
            super().__init__()
            self.frame, self.wishes = frame, wishes

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, DataScreen.Arrived) and message.wishes is self.wishes

    def __init__(self, entry: Entry, preset: Preset, *, is_draft: bool = False) -> None:
        super().__init__(entry, preset, is_draft=is_draft)
        self._wishes = Wishes[Wish]()
        self._latest = Frame()
        self._room = Room()
        self._heard = 0

    def compose(self) -> ComposeResult:
        yield TitleBar()
        with Horizontal(id="body"):
            yield FiguresPane(id="figures", classes="pane")
            yield RowPane(id="rows", classes="pane")
        yield Static(id="offers", classes="-none")
        yield KeyBar()

    def on_unmount(self) -> None:
        """Let the thread go, and its job with it."""
        self._wishes.set()

    # --- the thread ----------------------------------------------------------------------------

    def action_look(self) -> None:
        """Have the report made of the preset as it is now."""
        number, is_raw = self._latest.place
        self._wishes.set()
        self._wishes = Wishes(Wish("room", room=self._room))
        self._latest = Frame()
        hand_over = partial(self._hand_over, self._wishes)
        self.follow_job(
            DataWatch(self.preset, self._wishes, hand_over, number=number, is_raw=is_raw)
        )
        self._show_latest()

    def _hand_over(self, wishes: Wishes[Wish], frame: Frame) -> None:
        self.post_message(self.Arrived(frame, wishes))

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_job(self, watch: DataWatch) -> None:
        """Start the job, read and draw until the screen closes."""
        watch.run()

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        if event.wishes is self._wishes:
            self._latest = event.frame
            if self.is_seen:
                self._show_latest()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self._show_latest()

    # --- showing -------------------------------------------------------------------------------

    def _show_latest(self) -> None:
        before, self.frame = self.frame, self._latest
        frame = self.frame
        if frame.said[0] > self._heard:
            self._heard = frame.said[0]
            self.app.notify(frame.said[1], timeout=4, markup=False)
        self.query_one(RowPane).show(frame.row)
        self.lay_out()
        if (frame.findings, frame.failure) != (before.findings, before.failure):
            self.refresh_bindings()

    def lay_out(self) -> None:
        """Words for the room there is, and pictures of that size from the thread."""
        width, height = self.query_one(FiguresPane).show(self.frame, self.changes)
        room = Room(self.query_one(RowPane).text_width, width, height)
        if room != self._room:
            self._room = room
            self._wishes.put(Wish("room", room=room))
        self._show_place()

    def _show_place(self) -> None:
        state = "unsaved" if self.unsaved else ""
        self.query_one(TitleBar).trail = (self.entry.name, "data", state)
        for pane, name in ((FiguresPane, "figures"), (RowPane, "rows")):
            title = Content(name.capitalize()) if self.has_class("-double") else _tabs(name)
            self.query_one(pane).border_title = title
        self._show_offers()

    def _show_offers(self) -> None:
        parts = [
            Content.assemble((f"{at}", "bold $text-primary"), (f" {plain(text)}", _MUTED))
            for at, (text, _) in enumerate(self._remedies, 1)
        ]
        offers = self.query_one("#offers", Static)
        offers.set_class(not parts, "-none")
        offers.update(Content("  ").join(parts))

    @on(Paper.Room)
    def make_room(self) -> None:
        """Lay everything out anew."""
        self.call_after_refresh(self.lay_out)

    # --- keys ----------------------------------------------------------------------------------

    @property
    def _remedies(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        return self.frame.findings.remedies[:9] if self.frame.findings else ()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "mend":
            return cast("int", parameters[0]) < len(self._remedies)
        return super().check_action(action, parameters)

    def action_other_half(self) -> None:
        self._go("#text" if self.focused is self.query_one("#facts") else "#facts")

    def _go(self, name: str) -> None:
        self.set_class(name == "#text", "-reading")
        self.set_focus(self.query_one(name))  # at once: over a slow line keys arrive in bursts

    def action_row(self, kind: str, by: int = 0) -> None:
        """Another row, or the same in another way; in the figures, the row itself at first."""
        was_hidden = self.has_class("-single") and not self.has_class("-reading")
        self._go("#text")
        if not (was_hidden and kind == "by"):
            self._wishes.put(Wish(kind, by))

    @asks
    async def action_go_to(self) -> None:
        number = await data_flows.ask_number(self.app)
        if number is not None:
            self.action_row("number", number - 1)

    # --- the preset ----------------------------------------------------------------------------

    @asks
    async def action_mend(self, at: int) -> None:
        self.change(changed(self.preset, dict(self._remedies[at][1])))

    @asks
    async def action_map(self) -> None:
        findings = self.frame.findings
        known = findings.columns if findings else {}
        preset = await data_flows.map_column(self.app, self.preset, self.frame.names, known)
        if preset is not None and preset != self.preset:
            self.change(preset)

    @asks
    async def action_check(self) -> None:
        await look_flows.check(self.app, self.entry, self.preset, self.take)


def _tabs(here: str) -> Content:
    return Content(" ").join(
        Content.assemble((f"[{name}]", "bold") if name == here else (name, _MUTED))
        for name in ("figures", "rows")
    )
