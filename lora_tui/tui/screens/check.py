"""The check of a preset: what would go wrong in a run of it, line by line."""

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui import check_words
from lora_tui.tui.check_watching import CheckWatch, Frame
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.looking import LookingScreen
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.title_bar import TitleBar


class CheckScreen(LookingScreen):
    """Has a check made in another process, and shows each thing as it is looked at."""

    CSS_PATH = "check.tcss"
    AUTO_FOCUS = "#items"
    HELP = """Everything a run needs is looked at in turn, then a few real steps are taken at the
        longest batch the data can make. What stands on something that is wrong is not looked at.
        Leaving ends the check; it changes nothing but the preset, and that only when you say so."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("b", "find_batch", "batch", tooltip="Try which batch is the largest that works"),
        Binding("a", "apply", "apply", tooltip="Put what was found into the preset"),
        Binding("g", "open_log", "log", tooltip="What the engine printed"),
    ]

    class Arrived(Message):
        """A new frame of the thread that `cancelled` ends."""

        def __init__(self, frame: Frame, cancelled: threading.Event) -> None:
            super().__init__()
            self.frame, self.cancelled = frame, cancelled

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, CheckScreen.Arrived) and message.cancelled is self.cancelled

    def __init__(self, entry: Entry, preset: Preset, *, is_draft: bool = False) -> None:
        super().__init__(entry, preset, is_draft=is_draft)
        self._cancelled = threading.Event()
        self.frame = Frame()

    def compose(self) -> ComposeResult:
        yield TitleBar()
        yield Paper(id="items")
        yield Painting(id="verdict")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#items").border_title = Content("Check")

    def on_unmount(self) -> None:
        """Let the thread go, and its job with it."""
        self._cancelled.set()

    # --- the thread ----------------------------------------------------------------------------

    def action_look(self) -> None:
        self._check({})

    def action_find_batch(self) -> None:
        """Check again, and try which batch is the largest that works."""
        self._check({"find_batch": True})

    def _check(self, options: Mapping[str, Any]) -> None:
        self._cancelled.set()
        self._cancelled = threading.Event()
        self.frame = Frame()
        hand_over = partial(self._hand_over, self._cancelled)
        self.follow_job(CheckWatch(self.preset, options, self._cancelled, hand_over))
        self.lay_out()

    def _hand_over(self, cancelled: threading.Event, frame: Frame) -> None:
        self.post_message(self.Arrived(frame, cancelled))

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_job(self, watch: CheckWatch) -> None:
        """Start the job and follow it until it is over, or the screen closes."""
        watch.run()

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        if event.cancelled is self._cancelled:
            self.frame = event.frame
            if self.is_seen:
                self.lay_out()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self.lay_out()

    # --- showing -------------------------------------------------------------------------------

    def lay_out(self) -> None:
        paper = self.query_one("#items", Paper)
        paper.show(check_words.rows(self.frame, self.changes, paper.size.width - 1))
        self.query_one("#verdict", Painting).paint((check_words.verdict(self.frame),))
        self.query_one(TitleBar).trail = (
            self.entry.name,
            "check",
            "unsaved" if self.unsaved else "",
        )
        self.refresh_bindings()

    @on(Paper.Room)
    def make_room(self) -> None:
        """Lay everything out anew."""
        self.call_after_refresh(self.lay_out)

    # --- keys ----------------------------------------------------------------------------------

    @property
    def _offered(self) -> Mapping[str, Any]:
        """Changes of the preset that the check came to."""
        return {key: value for item in self.frame.items for key, value in item.changes.items()}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "apply":
            return bool(self._offered)
        if action == "find_batch":
            return self.frame.is_over
        if action == "open_log":
            return self.frame.run is not None
        return super().check_action(action, parameters)

    def action_apply(self) -> None:
        self.change(changed(self.preset, dict(self._offered)))

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(cast("Run", self.frame.run)))
