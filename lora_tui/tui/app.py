"""The app: theme, title facts, quitting, help, and what to do with errors. Screens do the rest."""

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.binding import Binding, BindingType
from textual.command import Provider
from textual.reactive import var
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.worker import get_current_worker

from lora_tui.core import locations, queue, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run
from lora_tui.core.text import printable
from lora_tui.tui import machine
from lora_tui.tui.failures import Reporting, unexpected
from lora_tui.tui.home_news import Seen
from lora_tui.tui.look import ascii_only
from lora_tui.tui.one_at_a_time import asks_to_quit
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.telling import Teller
from lora_tui.tui.typeahead import TypeAhead

if TYPE_CHECKING:
    from lora_tui.tui.screens.quit import Going

_MACHINE_EVERY = 10.0
_QUEUE_EVERY = 30.0
_END_WITH_THE_APP = ("data", "check", "chat")


class AsciiScrollBar(ScrollBarRender):
    """A scroll bar without partial blocks."""

    VERTICAL_BARS = [" "] * 8
    HORIZONTAL_BARS = [" "] * 8


def _commands() -> type[Provider]:
    from lora_tui.tui.commands import Everything

    return Everything


class LoraTuiApp(TypeAhead, Reporting):
    """Home at the bottom, every other screen above it; `esc` goes one level back."""

    TITLE = "lora-tui"
    CSS_PATH = ["app.tcss", "screens/home.tcss"]  # the default screen's own is not loaded
    COMMANDS = {_commands}
    HELP = "LoRA fine-tuning: runs are processes of their own and go on without this app."
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (104, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-tall")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon,ctrl+p", "command_palette", "commands", show=False, tooltip="Find anything"),
        Binding("q", "quit", "quit", tooltip="Leave; runs go on without this app"),
        Binding("ctrl+q,ctrl+c", "quit", "quit", show=False, priority=True),
        Binding("question_mark,f1", "help", "help", tooltip="What the keys do here"),
    ]

    machine: var[str] = var("")  # a reactive would paint the whole screen anew

    def __init__(self, open_run: Run | None = None) -> None:
        """Start on Home, or straight on a run."""
        super().__init__()
        self.theme = "nord"
        self._first_run = open_run
        self.teller = Teller(self)

    def get_default_screen(self) -> Screen[None]:
        return HomeScreen()

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"frame": "ascii" if ascii_only() else "solid"}

    def on_mount(self) -> None:
        """Open the run that was asked for, and begin to ask how the machine does."""
        ScrollBar.renderer = AsciiScrollBar if ascii_only() else ScrollBarRender
        if self._first_run is not None:
            self.open_run(self._first_run)
        self.call_after_refresh(self.ask_machine)
        self.call_after_refresh(self.keep_queue)
        self.set_interval(_QUEUE_EVERY, self.keep_queue)
        self.set_interval(_MACHINE_EVERY, self.ask_machine)
        self.call_after_refresh(self.teller.begin)

    @work(thread=True, exclusive=True, exit_on_error=False, group="machine")
    def ask_machine(self) -> None:
        """Ask for the title's facts; the title is drawn anew only when they changed."""
        facts = machine.facts()
        if not get_current_worker().is_cancelled:
            self.call_later(self._set_machine, facts)

    @work(thread=True, exit_on_error=False, group="queue")
    def keep_queue(self) -> None:
        """Runs that wait go on, after a reboot or whatever ended their keeper."""
        from lora_tui.jobs.queue import keep_going

        with suppress(LoraTuiError):  # the next that is queued tells it
            keep_going()

    @on(Seen)
    def tell_ends(self, message: Seen) -> None:
        """Tell which runs ended: Home goes on looking under whatever screen is open."""
        self.teller.see(message.board)

    def _set_machine(self, facts: str) -> None:
        self.machine = facts

    def open_run(self, run: Run) -> None:
        """Show a run: live, or how it went."""
        from lora_tui.tui.screens.training import TrainingScreen  # plotext takes 0.3 s

        if not (isinstance(self.screen, TrainingScreen) and self.screen.run == run):
            self.push_screen(TrainingScreen(run))

    def open_log(self, run: Run) -> None:
        """Show what a run's engine printed."""
        from lora_tui.tui.screens.log import LogScreen

        if not (isinstance(self.screen, LogScreen) and self.screen.run == run):
            self.push_screen(LogScreen(run))

    def notify(self, message: str, *, title: str = "", **how: Any) -> None:
        """Tell something in passing; names of files in it are none of the terminal's business."""
        super().notify(printable(message), title=printable(title), **how)

    @property
    def _background_screens(self) -> list[Screen[object]]:
        """None under an opaque screen: Textual would paint all of it for each change below."""
        return [] if self.screen.styles.background.a == 1 else super()._background_screens

    def action_help(self) -> None:
        """Explain the keys of the present screen and the focused widget."""
        from lora_tui.tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.about(self.screen))

    @asks_to_quit
    async def action_quit(self) -> None:  # type: ignore[override]  # a worker, not a coroutine
        """Quit at once when nothing runs; else say first that runs go on."""
        from lora_tui.tui.screens.quit import question

        live = await asyncio.to_thread(_going_on)
        unsaved = [lost for screen in self.screen_stack if (lost := getattr(screen, "unsaved", ""))]
        if (live or unsaved) and not await self.push_screen_wait(question(live, unsaved)):
            return
        self.exit()

    def _handle_exception(self, error: Exception) -> None:
        """A bug of ours outside a worker ends the app: its traceback goes to the log alone."""
        said = unexpected(error)
        if self.is_headless:  # a test, which has to see it
            super()._handle_exception(error)
        elif not self._exit:  # what fails on the way out is only logged
            self.exit(return_code=1, message=Text(said))


def _going_on() -> list["Going"]:
    """What goes on without the app: runs and the queue, comparisons, merges and exports."""
    from lora_tui.tui.screens.quit import Going

    folders = dict.fromkeys(map(locations.jobs_folder, ("train", "compare", "merge", "export")))
    live = [run for folder in folders for run in runs.list_runs(folder) if queue.is_open(run)]
    return [job for job in map(Going.read, live) if job.kind not in _END_WITH_THE_APP]
