"""What screens of one job without steps share: its thread, its frames, its failure, its log."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar, cast

from textual import on, work
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from lora_tui.core.folding import Folding
from lora_tui.core.runs import Run
from lora_tui.tui.columns import plain
from lora_tui.tui.failures import Reporting
from lora_tui.tui.job_watching import Frame, JobWatch
from lora_tui.tui.screens.log import LogScreen

Moment = TypeVar("Moment")


class JobScreen(Reporting, Screen[None], Generic[Moment]):
    """Follows a job in a thread; a subclass draws `frame`, with a `#notice` for its failure."""

    SAYS: ClassVar[dict[str, str]]
    """What a stopped job leaves (`kept`), and what key starts it anew (`again`)."""

    DEFAULT_CSS = """
    JobScreen #notice {
        display: none;
        height: auto;
        max-height: 7;
        padding: 0 1;
        border-left: outer $text-error;
        color: $foreground;
    }
    JobScreen #notice.-shown { display: block; }
    """

    class Arrived(Message):
        """A new frame of the thread that `cancelled` ends; only the latest of it is shown."""

        def __init__(self, frame: Frame[Any], beside: Any, cancelled: threading.Event) -> None:
            super().__init__()
            self.frame, self.beside, self.cancelled = frame, beside, cancelled

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, JobScreen.Arrived) and message.cancelled is self.cancelled

    def __init__(self) -> None:
        """No job is known yet."""
        super().__init__()
        self.frame: Frame[Moment] | None = None
        self._cancelled = threading.Event()

    def on_unmount(self) -> None:
        """Let the thread go; the job goes on."""
        self._cancelled.set()

    # --- the thread ----------------------------------------------------------------------------

    def follow(self, source: Run | Callable[[], Run], folding: Folding[Moment]) -> None:
        """Show a job there is, or start one; whatever was followed before is let go."""
        self._cancelled.set()
        self._cancelled = cancelled = threading.Event()
        self.frame = Frame(folding.now)

        def hand_over(frame: Frame[Moment]) -> None:
            self.post_message(self.Arrived(frame, self.look_beside(frame), cancelled))

        self.follow_job(JobWatch(source, folding, cancelled, hand_over, **self.SAYS))

    @work(thread=True, exit_on_error=False, group="follow")
    def follow_job(self, watch: JobWatch[Moment]) -> None:
        """Follow the job until it is over, or the screen closes."""
        watch.run()

    def look_beside(self, frame: Frame[Moment]) -> Any:
        """What belongs to a frame and is read from disk; called in the thread."""
        return None

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        if event.cancelled is self._cancelled and self.frame is not None:
            self.took(event.frame, event.beside)
            self.show_if_seen()

    def took(self, frame: Frame[Moment], beside: Any) -> None:
        """Keep a frame, and what was found beside it."""
        self.frame = frame

    # --- showing -------------------------------------------------------------------------------

    def show_if_seen(self) -> None:
        """Draw, unless another screen covers this one; it draws when it is seen again."""
        if self.is_active or self.app.screen.is_modal:
            self.lay_out()

    def lay_out(self) -> None:
        """Draw what stands now."""
        raise NotImplementedError

    def show_notice(self, summary: str, hint: str) -> None:
        """Say what is wrong; nothing takes the notice away."""
        notice = self.query_one("#notice", Static)
        notice.set_class(bool(summary), "-shown")
        notice.update(Content.assemble((plain(summary), "bold $text-error"), "\n", plain(hint)))

    # --- keys ----------------------------------------------------------------------------------

    @property
    def run_shown(self) -> Run:
        """The job's run; only where there is one."""
        return cast("Run", cast("Frame[Moment]", self.frame).run)

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(self.run_shown))
