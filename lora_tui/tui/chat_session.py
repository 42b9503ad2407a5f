"""What a chat screen knows beside what its engine told: who is asked next, and since when."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lora_tui.core.chat import (
    REFUSED,
    UNANSWERED,
    Answer,
    Chat,
    Turn,
    conversation,
)
from lora_tui.core.chat_folding import Folding
from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.tui.chat_watching import Request

_GONE = {"summary": "The engine went before it took this up.", "hint": ""}


class Session:
    """One conversation with the members of one base, over the lives of its engines."""

    def __init__(self, members: Sequence[Member]) -> None:
        """Begin with the first adapter, where there is one: it is what the user came for."""
        self.members = tuple(members)
        self.settings = ChatSettings()
        self.chat: Chat = Folding(members).now
        self._wanted = members[min(1, len(members) - 1)].id
        self._pending: Turn | None = None
        self._since = self._since_before = 0

    # --- what is there -------------------------------------------------------------------------

    @property
    def current(self) -> str:
        """The id that is asked next; the engine may still be swapping to it."""
        return self._wanted or self.chat.current

    @property
    def said(self) -> tuple[Turn, ...]:
        """Every turn, with the one that the engine has not taken up yet."""
        return (*self.chat.turns, *([self._pending] if self._pending else []))

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The turns of this conversation."""
        return tuple(turn for turn in self.said if turn.number >= self._since)

    @property
    def is_answering(self) -> bool:
        """Whether an answer is to come."""
        return any(not turn.is_over for turn in self.said)

    @property
    def can_undo(self) -> bool:
        """Whether the conversation before a new one can come back."""
        return self._since > self._since_before and not self.turns

    def why_not(self, to: Sequence[str]) -> str:
        """Why nothing can be asked now, in words; empty when it can."""
        if self.chat.ended:
            return "The engine is gone: esc, then r, starts it anew."
        if self.is_answering:
            return "It is still answering: esc, then x, ends that."
        seat = self.chat.seat(to[0]) if len(to) == 1 else None
        if seat is not None and seat.state == REFUSED:
            return f"{seat.refused.get('summary')} Choose another member."
        return ""

    # --- what happens --------------------------------------------------------------------------

    def take(self, chat: Chat) -> LoraTuiError | None:
        """Go on with what the engine told; what it said if it refused who was wanted."""
        self.chat = chat
        pending = self._pending
        if pending and any(turn.number == pending.number for turn in chat.turns):
            self._pending = None
        elif pending and chat.ended and not pending.is_over:
            lost = Answer(ended=UNANSWERED, failure=chat.failure or _GONE)
            self._pending = replace(pending, answers=dict.fromkeys(pending.to, lost))
        seat = chat.seat(self._wanted) if self._wanted else None
        if seat is not None and seat.state == REFUSED:
            self._wanted = ""
            return LoraTuiError(
                f"{seat.member.name}: {seat.refused.get('summary')}", seat.refused.get("hint", "")
            )
        if self._wanted == chat.current and chat.loaded:
            self._wanted = ""
        return None

    def first(self) -> Request:
        """What an engine is asked first: to let the one answer who is wanted."""
        return self.swap(self.current)

    def swap(self, id_: str) -> Request:
        """Let another member answer from here on."""
        self._wanted = id_
        return lambda talk: talk.use(id_)

    def next_id(self, by: int) -> str:
        """The member after the current one, or before it; those refused are passed over."""
        usable = self.chat.usable
        at = usable.index(self.current) if self.current in usable else -1
        return usable[(at + by) % len(usable)]

    def ask(self, prompt: str, to: Sequence[str]) -> Request:
        """Ask one or several; each is given the conversation as it stands, see `conversation`."""
        number = max((turn.number for turn in self.said), default=0) + 1
        chat = replace(self.chat, turns=self.said)
        settings = self.settings
        messages: Mapping[str, list[dict[str, str]]] = {
            id_: conversation(chat, id_, prompt, system=settings.system, since=self._since)
            for id_ in to
        }
        self._pending = Turn(number, prompt, tuple(to))
        given = messages if len(to) > 1 else messages[to[0]]
        return lambda talk: talk.ask(number, to, given, settings.request())

    def begin_anew(self) -> None:
        """A new conversation: what was said is not shown, and nobody is given it."""
        self._since_before = self._since
        self._since = max((turn.number for turn in self.said), default=0) + 1

    def undo(self) -> None:
        """Back to the conversation before."""
        self._since = self._since_before

    def revive(self) -> tuple[Turn, ...]:
        """What a new engine goes on from: every turn so far."""
        said, self._wanted = self.said, self.current
        self._pending = None
        self.chat = replace(Folding(self.members).now, turns=said)
        return said
