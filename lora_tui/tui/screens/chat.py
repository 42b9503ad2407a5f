"""A conversation with a base and its adapters: asked one by one, or all at once."""

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, cast

from textual import events, on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingsMap, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Static

from lora_tui.core.chat import Seat
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.tui import chat_flows, chat_words
from lora_tui.tui.chat_session import Session
from lora_tui.tui.chat_watching import ChatWatch, Frame, Request, Requests
from lora_tui.tui.failures import Reporting, report
from lora_tui.tui.look import ascii_only
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.chat_settings import ChatSettingsDialog
from lora_tui.tui.screens.log import LogScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.widgets.chat_face import ChatFace
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.prompt_area import PromptArea
from lora_tui.tui.widgets.transcript import Transcript

_WIDE = 110  # columns from which the members stand beside the conversation
_NUMBERS = 10


class ChatScreen(Reporting, Screen[None]):
    """Follows a chat engine in a thread; the event loop only shows finished frames."""

    CSS_PATH = "chat.tcss"
    AUTO_FOCUS = "PromptArea"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (16, "-tall")]
    HELP = """One base stays loaded, and its adapters take turns on it. While you type, tab goes to
        the next member; esc leaves the line, and then plain keys do everything and a number swaps.
        What stands here is what a member is given: your turns, and to each its own answer, or that
        of whom you asked. The engine ends with this screen; no run is touched by it."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i,enter", "type", "type", key_display="i", tooltip="Go on typing"),
        Binding("a", "ask_all", "ask all", tooltip="Send what is typed to base and every adapter"),
        Binding("x", "cancel", "end it", tooltip="End the answer; what is written of it stays"),
        Binding("r", "revive", "restart", tooltip="A new engine; the conversation is kept"),
        Binding("n", "begin_anew", "new", tooltip="A new conversation; nobody remembers the old"),
        Binding("u", "undo", "old back", tooltip="The conversation before the new one"),
        Binding("s", "settings", "settings", tooltip="Temperature, length, system prompt"),
        Binding("p", "keep", "keep", tooltip="Put the last prompt among those to compare"),
        Binding("q", "leave", "back", tooltip="The engine ends; no run is touched"),
        Binding("w", "notices", "warnings", tooltip="What to know of the members"),
        Binding("g", "open_log", "log", tooltip="What the engine printed"),
        Binding("escape", "step_back", "back", show=False, tooltip="End an answer, else leave"),
        Binding("tab", "next(1)", "next member", show=False, tooltip="Let the next one answer"),
        Binding("shift+tab", "next(-1)", "member before", show=False),
    ]

    class Arrived(Message):
        """A new frame of the thread that has `requests`."""

        def __init__(self, frame: Frame, requests: Requests) -> None:
            super().__init__()
            self.frame, self.requests = frame, requests

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, ChatScreen.Arrived) and message.requests is self.requests

    def __init__(self, members: Sequence[Member]) -> None:
        """Talk with `members`: a base first, and what was made from it."""
        super().__init__()
        self.session = Session(members)
        self.frame = Frame(self.session.chat)
        self._requests = Requests()
        self._lost = 0
        last = min(len(members), _NUMBERS) - 1
        digits = self._digits = f"0-{last}" if last else "0"
        numbers = [
            Binding("0", "swap(0)", "swap", key_display=digits, tooltip="Let another one answer"),
            *(Binding(str(at), f"swap({at})", "", show=False) for at in range(1, last + 1)),
        ]
        self._bindings = BindingsMap.merge([BindingsMap(numbers), self._bindings])

    def compose(self) -> ComposeResult:
        yield ChatFace()
        with Horizontal(id="typing"):
            yield Static(">" if ascii_only() else "›", id="mark")
            yield PromptArea(self._digits)
        yield KeyBar()

    def on_mount(self) -> None:
        """Begin to load the base."""
        self._start()

    def on_unmount(self) -> None:
        """Let the thread go, and its engine with it."""
        self._requests.set()

    # --- the thread ----------------------------------------------------------------------------

    def _start(self) -> None:
        self._requests.set()
        self._requests = Requests()
        self._lost = 0
        turns = self.session.revive()
        self._requests.put(self.session.first())
        hand_over = partial(self._hand_over, self._requests)
        self.frame = Frame(self.session.chat)
        self.follow_engine(ChatWatch(self.session.members, self._requests, hand_over, turns))
        self.lay_out()

    def _hand_over(self, requests: Requests, frame: Frame) -> None:
        self.post_message(self.Arrived(frame, requests))

    @work(thread=True, exclusive=True, exit_on_error=False, group="follow")
    def follow_engine(self, watch: ChatWatch) -> None:
        """Start the engine and follow it until it is gone, or the screen closes."""
        watch.run()

    @on(Arrived)
    def take_frame(self, event: Arrived) -> None:
        """Show a frame, or keep it while another screen covers this one."""
        if event.requests is not self._requests:
            return
        self.frame = event.frame
        if refused := self.session.take(event.frame.chat):
            report(self.app, refused)
        times, why = event.frame.lost
        if times > self._lost:
            self._lost = times
            self.app.notify(why, severity="warning", markup=False)
        if self.is_active or self.app.screen.is_modal:
            self.lay_out()

    def on_screen_resume(self) -> None:
        """Show what arrived meanwhile."""
        self.lay_out()

    def _request(self, request: Request) -> None:
        self._requests.put(request)
        self.lay_out()

    # --- showing -------------------------------------------------------------------------------

    def lay_out(self) -> None:
        """Show the present moment in the room there is."""
        self._requests.cost = self.query_one(ChatFace).show(
            self.frame,
            self.session,
            is_typing=self.query_one(PromptArea).has_focus,
            is_wide=self.has_class("-wide"),
        )
        self.refresh_bindings()

    @on(Paper.Room)
    def make_room(self) -> None:
        """Lay everything out anew."""
        self.call_after_refresh(self.lay_out)

    # --- typing --------------------------------------------------------------------------------

    def action_type(self) -> None:
        self.set_focus(self.query_one(PromptArea))  # at once: keys may come in bursts

    def action_stop_typing(self) -> None:
        self.set_focus(self.query_one(Transcript))

    def on_descendant_focus(self) -> None:
        """What the keys are for is another thing now, and said."""
        self.lay_out()

    def on_paste(self, event: events.Paste) -> None:
        """What is pasted anywhere is for the prompt."""
        self.action_type()
        self.query_one(PromptArea).paste(event.text)

    def action_ask(self) -> None:
        """Send what is typed to the marked member."""
        self._ask([self.session.current])

    def action_ask_all(self) -> None:
        """Send what is typed to everyone who was not refused."""
        self._ask(self.session.chat.usable)

    def _ask(self, to: Sequence[str]) -> None:
        area = self.query_one(PromptArea)
        if not area.text.strip():
            self.action_type()
            self.app.notify("Type something to ask first.", timeout=3)
        elif why := self.session.why_not(to):
            self.app.notify(f"{why} What you typed stays.", timeout=5, markup=False)
        else:
            request = self.session.ask(area.text, to)
            area.keep(area.text)
            self.query_one(Transcript).follow()
            self._request(request)

    # --- keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        session = self.session
        offered = {
            "cancel": session.is_answering and not session.chat.ended,
            "revive": bool(session.chat.ended),
            "begin_anew": bool(session.turns),
            "undo": session.can_undo,
            "keep": bool(session.said),
            "notices": bool(chat_words.notices(session.chat)),
            "open_log": self.frame.run is not None,
            "ask_all": len(session.members) > 1 and not session.chat.ended,
        }
        return offered.get(action, True)

    def action_swap(self, at: int) -> None:
        """Let the member of a number answer from here on."""
        self._swap(self.session.members[at].id)

    def action_next(self, by: int) -> None:
        self._swap(self.session.next_id(by))

    def _swap(self, id_: str) -> None:
        seat = self.session.chat.seat(id_)
        if seat is not None and seat.refused:
            self._try_again(seat)
        elif id_ != self.session.current:
            self._request(self.session.swap(id_))

    @asks
    async def _try_again(self, seat: Seat) -> None:
        """Say why a member was refused; what it lacked may be there by now."""
        if await chat_flows.try_again(self.app, seat):
            self._request(self.session.swap(seat.id))

    def action_cancel(self) -> None:
        self._request(lambda talk: talk.cancel())

    def action_step_back(self) -> None:
        """End an answer that is being written; else leave."""
        if self.check_action("cancel", ()):
            self.action_cancel()
        else:
            self.action_leave()

    def action_begin_anew(self) -> None:
        if self.check_action("cancel", ()):
            self.action_cancel()
        self.session.begin_anew()
        self.query_one(Transcript).follow()
        self.lay_out()

    def action_undo(self) -> None:
        self.session.undo()
        self.query_one(Transcript).follow()
        self.lay_out()

    def action_revive(self) -> None:
        self._start()

    def action_notices(self) -> None:
        said = chat_words.notices(self.session.chat)
        self.app.push_screen(Notice("What to know of the members", said))

    def action_open_log(self) -> None:
        self.app.push_screen(LogScreen(cast("Run", self.frame.run)))

    @asks
    async def action_settings(self) -> None:
        chosen = await self.app.push_screen_wait(ChatSettingsDialog(self.session.settings))
        if chosen is not None:
            self.session.settings = chosen
            self.lay_out()

    @asks
    async def action_keep(self) -> None:
        await chat_flows.keep(self.app, self.session.said[-1].prompt)

    @asks
    async def action_leave(self) -> None:
        has_draft = bool(self.query_one(PromptArea).text.strip())
        nothing = not self.session.said and not has_draft
        if nothing or await chat_flows.may_leave(self.app, self.frame.run):
            self.dismiss()
