"""What a run's engine printed: the end of it, live, and as far back as one wants to scroll."""

import queue
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from lora_tui.core.runs import Run
from lora_tui.core.text import one_line, printable
from lora_tui.tui.columns import cut, dot
from lora_tui.tui.failures import Reporting
from lora_tui.tui.log_pages import LogPages
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.log_tail import LogTail, Window
from lora_tui.tui.widgets.painting import Painting

_EVERY = 0.5
_Wish = tuple[str, str, int]  # what to do, the text to find, the line to start from


class LogScreen(Reporting, Screen[None]):
    """Follows `engine.log` in a thread; very large files are read a page at a time."""

    CSS_PATH = "log.tcss"
    HELP = "What the engine printed, as text. The file is named at the bottom, to be copied from."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "find", "find", id="log.find"),
        Binding("n", "again('up')", "earlier", id="log.earlier"),
        Binding("N", "again('down')", "later", key_display="N", id="log.later"),
        Binding("G", "end", "end", key_display="G", id="log.end"),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("j", "scroll(1)", "down", show=False),
        Binding("q,escape", "back", "back", key_display="q", id="log.back"),
    ]

    finding: var[bool] = var(False, toggle_class="-finding")

    class Arrived(Message):
        """Other lines to show, and where to go: `start`, `end`, a line's number, or nowhere."""

        def __init__(
            self, window: Window, go: str | int | None = None, *, lost: bool = False
        ) -> None:
            super().__init__()
            self.window = window
            self.go = go
            self.lost = lost

        def can_replace(self, message: Message) -> bool:
            # A newer message stands for this one, unless this one moves or says something.
            return isinstance(message, LogScreen.Arrived) and self.go is None and not self.lost

    def __init__(self, run: Run) -> None:
        """Show the log of `run`."""
        super().__init__()
        self.run = run
        self._wishes: queue.SimpleQueue[_Wish] = queue.SimpleQueue()
        self._wanted = ""
        self._found = 0
        self._where = ""

    def compose(self) -> ComposeResult:
        yield Painting(id="title")
        yield LogTail()
        yield Static(id="foot")
        yield Input(placeholder="find", select_on_focus=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to read."""
        self.set_focus(self.query_one(LogTail))
        self.follow_log()

    def on_unmount(self) -> None:
        """Wake the thread, which then sees that nobody wants it."""
        self._wishes.put(("leave", "", 0))

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_log(self) -> None:
        """Read what is new, and what is wished for, until the screen closes."""
        worker = get_current_worker()
        pages = LogPages(self.run.log)
        pages.open_end()
        self.post_message(self.Arrived(_window(pages), "end"))
        while not worker.is_cancelled:
            try:
                wish, wanted, start = self._wishes.get(timeout=_EVERY)
            except queue.Empty:
                if pages.at_end and pages.forward():
                    self.post_message(self.Arrived(_window(pages)))
                continue
            if wish == "leave":
                return
            if wish in _MOVES:
                _MOVES[wish](pages)
                go = wish if wish in {"start", "end"} else None
                self.post_message(self.Arrived(_window(pages), go))
                continue
            found = pages.find(
                wanted, start, up=wish == "up", cancelled=worker.cancelled_event.is_set
            )
            self.post_message(self.Arrived(_window(pages), found, lost=found is None))

    @on(Arrived)
    def show_lines(self, event: Arrived) -> None:
        """Show the lines that were read."""
        tail = self.query_one(LogTail)
        tail.show(event.window)
        if isinstance(event.go, str):
            tail.jump(event.go)
        elif isinstance(event.go, int):
            self._found = event.go
            tail.go_to(event.go)
        if event.lost:
            self.notify(f'"{one_line(self._wanted)}" is nowhere else.', markup=False, timeout=4)
        self._show_words()

    def on_resize(self) -> None:
        """Fit the lines of words to the new width."""
        self.call_after_refresh(self._show_words)

    def _show_words(self) -> None:
        name = cut(self.run.id, self.size.width - 16)
        line = ((name, "strong"), (f"{dot()}engine log", "muted"))
        self.query_one("#title", Painting).paint((line,))
        read = self.query_one(LogTail).window.lines
        where = "written to " if read else "nothing was printed yet; it will be written to "
        if where != self._where:
            self._where = where  # the whole path, to be copied: it may take two lines
            path = printable(str(self.run.log))
            self.query_one("#foot", Static).update(
                Content.assemble((where, "$foreground-muted"), path)
            )

    @on(LogTail.Wish)
    def wish(self, event: LogTail.Wish) -> None:
        """Have other lines read."""
        self._wishes.put((event.wish, "", 0))

    def action_find(self) -> None:
        self.finding = True
        self.set_focus(self.query_one(Input))

    @on(Input.Submitted)
    def find(self, event: Input.Submitted) -> None:
        """Look for the latest line that has the words in it."""
        self._wanted = event.value
        tail = self.query_one(LogTail)
        tail.mark(event.value)
        self._leave_input()
        if event.value:
            self._seek("up", tail.window.base + len(tail.window.lines))

    def action_again(self, direction: str) -> None:
        if self._wanted:
            self._seek(direction, self._found)

    def _seek(self, direction: str, start: int) -> None:
        self._wishes.put((direction, self._wanted, start))

    def _leave_input(self) -> None:
        self.finding = False
        self.set_focus(self.query_one(LogTail))

    def action_scroll(self, lines: int) -> None:
        self.query_one(LogTail).scroll_relative(y=lines, animate=False)

    def action_end(self) -> None:
        self.query_one(LogTail).action_scroll_end()

    def action_back(self) -> None:
        if self.finding:
            self._leave_input()
        else:
            self.dismiss()


_MOVES = {
    "back": LogPages.back,
    "forward": LogPages.forward,
    "start": LogPages.open_start,
    "end": LogPages.open_end,
}


def _window(pages: LogPages) -> Window:
    return Window(tuple(pages.lines), pages.base, pages.at_start, pages.at_end)
