"""What the screen and the command line show of a chat, and words about rivals.

`core.chat_folding.Folding` makes these snapshots out of the engine's events.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core.members import BASE, Member
from lora_tui.core.summary import Headline

WAITING, ATTACHED, REFUSED = "waiting", "attached", "refused"
"""What a member's seat is: not attached yet, ready to answer, or turned away."""

END_OF_TURN, MAX_NEW_TOKENS = "end of turn", "max_new_tokens"
MODEL_LIMIT, CANCELLED, UNANSWERED = "model's limit", "cancelled", "unanswered"
"""How an answer ended: MODEL_LIMIT where prompt and answer fill all that the model was made for."""

GONE = {
    "summary": "The chat engine died without a word: killed from outside, or out of memory.",
    "hint": "Nothing else is hurt. Start the chat again; engine.log in its folder has its last "
    "lines.",
}


@dataclass(frozen=True, slots=True)
class Seat:
    """One member at the table: whether it can answer, and how long attaching and swapping took.

    `attach_milliseconds` of the base is what loading it took. `swap_milliseconds` is the latest
    swap to it, None before the first. `refused` has `summary` and `hint`, and is empty unless
    `state` is REFUSED.
    """

    member: Member
    state: str = WAITING
    attach_milliseconds: float | None = None
    swap_milliseconds: float | None = None
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The member's id, which requests and events name."""
        return self.member.id

    @property
    def is_base(self) -> bool:
        """Whether it is the base without any adapter."""
        return self.member.id == BASE


@dataclass(frozen=True, slots=True)
class Answer:
    """What one member says in one turn; `ended` is empty while it is being written.

    `mixed` says that it was written in one batch with those of other members. `failure` has
    `summary` and `hint`, and is empty unless `ended` is UNANSWERED; `text` is then what had been
    written before.
    """

    text: str = ""
    ended: str = ""
    tokens: int | None = None
    seconds: float | None = None
    prompt_tokens: int | None = None
    mixed: bool = False
    failure: Mapping[str, str] = field(default_factory=dict)

    @property
    def tokens_per_second(self) -> float | None:
        """The speed it was written at, once that is known."""
        return self.tokens / self.seconds if self.tokens and self.seconds else None


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt, whom it was asked (ids, in order), and their answers by id."""

    number: int
    prompt: str
    to: tuple[str, ...]
    answers: Mapping[str, Answer] = field(default_factory=dict)

    def answer(self, id_: str) -> Answer:
        """A member's answer; one without text if it has not begun."""
        return self.answers.get(id_, Answer())

    @property
    def is_over(self) -> bool:
        """Whether everybody who was asked has answered, or will not."""
        return all(self.answer(id_).ended for id_ in self.to)


@dataclass(frozen=True, slots=True)
class Chat:
    """One moment of a chat.

    `seats` begin with the base, in the order that number keys name: 0 is the base. `current` is the
    id that answers now. `loaded` is the event that says how long the base took, its number format
    (`dtype`) and `memory_bytes`; `started` the one with device and versions. `failure` has
    `summary` and `hint` when the engine failed or is gone without a word.
    """

    seats: tuple[Seat, ...] = ()
    turns: tuple[Turn, ...] = ()
    current: str = BASE
    is_ready: bool = False
    started: Mapping[str, Any] = field(default_factory=dict)
    loaded: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    ended: str = ""
    failure: Mapping[str, str] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """In one word: starting, loading, ready, answering, ended, failed."""
        if self.failure:
            return "failed"
        if self.ended:
            return "ended"
        if self.is_ready:
            return "ready"
        if any(not turn.is_over for turn in self.turns):
            return "answering"
        return "loading" if self.started else "starting"

    @property
    def is_exact(self) -> bool:
        """Whether it computes in float32, where one mixed batch answers exactly as one by one."""
        return str(self.loaded.get("dtype", "")) == "float32"

    @property
    def usable(self) -> tuple[str, ...]:
        """The ids that were not refused, the base first."""
        return tuple(seat.id for seat in self.seats if seat.state != REFUSED)

    def seat(self, id_: str) -> Seat | None:
        """The seat of a member."""
        return next((seat for seat in self.seats if seat.id == id_), None)

    def turn(self, number: int) -> Turn | None:
        """The turn of that number."""
        return next((turn for turn in reversed(self.turns) if turn.number == number), None)


def conversation(
    chat: Chat, id_: str, prompt: str, *, system: str = "", since: int = 0
) -> list[dict[str, str]]:
    """The messages to ask a member: the conversation as it is shown, and the new prompt.

    Of each turn it is given its own answer, or, where it was not asked, that of the first who was:
    swapping in the middle of a conversation goes on with it. Turns below number `since` are
    forgotten; those without an answer are left out.
    """
    messages = [{"role": "system", "content": system}] if system.strip() else []
    for turn in chat.turns:
        own, others = turn.answer(id_), map(turn.answer, turn.to)
        given = next((one for one in (own, *others) if _is_said(one)), None)
        if turn.number >= since and given is not None:
            messages.append({"role": "user", "content": turn.prompt})
            messages.append({"role": "assistant", "content": given.text})
    return [*messages, {"role": "user", "content": prompt}]


def _is_said(answer: Answer) -> bool:
    """Whether it was given, and there is something in it."""
    return bool(answer.text) and answer.ended not in {"", UNANSWERED}


def rivalry(lines: Sequence[Headline], *, on_gpu: bool) -> str:
    """What a chat would take from the live runs; empty where there is none."""
    if not lines:
        return ""
    first, more = lines[0].name, len(lines) - 1
    who = f"{first} and {more} more are running" if more else f"{first} is running"
    if on_gpu:
        return (
            f"{who} on this machine. The chat takes memory of the GPU too, and slows both: if the "
            "memory runs out, either can fail."
        )
    return (
        f"{who} on this machine. The chat takes half of the CPU's threads, so both get slower, "
        "and memory."
    )


def thread_share(cores: int, rivals: int) -> int:
    """How many threads a chat takes on CPU: half of the cores beside live runs, else all."""
    return max(1, cores // 2) if rivals else cores
