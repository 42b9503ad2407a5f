"""What the chat screen says around the conversation: its title, its members, its last line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lora_tui.core import text
from lora_tui.core.chat import ATTACHED, REFUSED, Chat, Seat
from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.events import whole
from lora_tui.tui import look, row_text
from lora_tui.tui.chat_watching import Frame
from lora_tui.tui.columns import cut, dot, left, plain, right, width_of
from lora_tui.tui.look import Look, ascii_only
from lora_tui.tui.widgets.painting import Row, Rows

_STATES = {
    "starting": (Look("◌", "o", ""), "muted"),
    "loading": (Look("◌", "o", ""), "muted"),
    "ready": (Look("✓", "+", ""), "good"),
    "answering": (Look("●", "*", ""), "accent"),
    "ended": (Look("■", "#", ""), "warn"),
    "failed": (Look("✗", "x", ""), "bad"),
}
_NAME = 20
_LINES = 3  # of members, where they stand above the conversation
_REASON_LINES = 4


@dataclass(frozen=True, slots=True)
class Here:
    """What the screen knows beside the frame: who is asked next, how, and where the keys go."""

    current: str
    settings: ChatSettings
    is_answering: bool = False
    is_typing: bool = True


def title(frame: Frame, base: str, width: int) -> Row:
    """The base and how it computes, as far as it fits; the state at the right."""
    chat = frame.chat
    look, role = _STATES[chat.state]
    state = f"{_sign(look)} {chat.state}"
    facts = [str(chat.started.get("device") or ""), str(chat.loaded.get("dtype") or "")]
    if memory := whole(chat.loaded.get("memory_bytes")):
        facts.append(text.size(memory))
    facts = [cut(fact, 24) for fact in facts if fact]
    name = cut(base.rstrip("/").rpartition("/")[2], 40)
    room = max(1, width - width_of("chat  ") - width_of(state) - 2)
    while facts and width_of(name) + sum(width_of(dot() + fact) for fact in facts) > room:
        facts = facts[1:]
    words = "".join(dot() + fact for fact in facts)
    name = cut(name, room - width_of(words))
    gap = " " * (room - width_of(name) - width_of(words) + 2)
    return ("chat  ", "accent"), (name, "strong"), (words + gap, "muted"), (state, role)


# --- members -----------------------------------------------------------------------------------


def members(frame: Frame, here: Here, width: int) -> Rows:
    """The members in a few lines, one beside the other; the one that answers is marked."""
    rows: list[Row] = []
    line: Row = ()
    used = 0
    seats = frame.chat.seats
    for at, seat in enumerate(seats):
        parts = _seat(frame.chat, at, seat, here)
        room = sum(width_of(part) for part, _ in parts)
        if line and used + 2 + room > width:
            rows.append(line)
            line, used = (), 0
        line = (*line, (("  " if line else ""), "text"), *parts)
        used += room + (2 if used else 0)
    rows.append(line)
    if len(rows) <= _LINES:
        return tuple(rows)
    hidden = len(rows) - _LINES + 1
    return (*rows[: _LINES - 1], ((f"  and {hidden} lines more; tab goes through all", "muted"),))


def column(frame: Frame, here: Here, width: int) -> Rows:
    """The members one below the other, each with its figures, and how answers are drawn."""
    rows: list[Row] = []
    for at, seat in enumerate(frame.chat.seats):
        mark, word, role = state_of(frame.chat, seat)
        name = left(seat.member.name, width - 20)
        head = _role(seat, here)
        took = _milliseconds(seat.swap_milliseconds)
        rows.append(
            (
                (f"{_cursor(seat, here)}{_number(at)} ", head),
                (name + " ", head),
                (f"{mark} {left(word, 7)}", role),
                (right(took, 7), "muted"),
            )
        )
        rows += (((f"   {line}", "muted"),) for line in _about(seat, width - 4))
    return (*rows, (), *_settings(here.settings, width))


def _settings(settings: ChatSettings, width: int) -> Iterator[Row]:
    greedy = settings.is_greedy
    facts = {
        "answers": "greedy" if greedy else f"temperature {text.number(settings.temperature)}",
        "top-p": "" if greedy else text.number(settings.top_p),
        "seed": "" if greedy else str(settings.seed),
        "at most": f"{settings.max_new_tokens:,} tokens",
        "system": settings.system or "none",
    }
    for name, value in facts.items():
        if value:
            yield ((left(f" {name}", 10), "muted"), (cut(value, max(4, width - 11)), "text"))


def _seat(chat: Chat, at: int, seat: Seat, here: Here) -> tuple[tuple[str, str], ...]:
    mark, word, role = state_of(chat, seat)
    head = f"{_cursor(seat, here)}{_number(at)} {cut(seat.member.name, _NAME)} "
    return (head, _role(seat, here)), (f"{mark} {word}", role)


def state_of(chat: Chat, seat: Seat) -> tuple[str, str, str]:
    """A member's mark, its word, and their role."""
    if seat.state == REFUSED:
        return _sign(Look("✗", "x", "")), "refused", "bad"
    if chat.ended:
        return _sign(Look("■", "#", "")), "gone", "muted"
    if seat.state == ATTACHED and seat.warnings:
        return _sign(Look("▲", "!", "")), "look", "warn"
    if seat.state == ATTACHED:
        return _sign(Look("✓", "+", "")), "ready", "good"
    comes_by_itself = seat.is_base or (chat.loaded and seat.member.method != "full")
    waits = "loading" if comes_by_itself else "waiting"  # a whole model loads when it is asked
    return _sign(Look("◌", "o", "")), waits, "muted"


def _about(seat: Seat, width: int) -> Iterator[str]:
    """Why it was refused, or what to know of it."""
    said = [seat.refused.get("summary", "")] if seat.state == REFUSED else list(seat.warnings)
    lines = [line for words in said for line in _wrapped(words, width)]
    yield from lines[:_REASON_LINES]
    if len(lines) > _REASON_LINES:
        yield "w says the rest"


def _wrapped(words: str, width: int) -> Iterator[str]:
    return row_text.wrapped(plain(text.one_line(words)), max(8, width))


def _number(at: int) -> str:
    return str(at) if at < 10 else " "


def _cursor(seat: Seat, here: Here) -> str:
    if seat.id != here.current:
        return " "
    return look.cursor()


def _role(seat: Seat, here: Here) -> str:
    return "strong" if seat.id == here.current else "text"


def _sign(look: Look) -> str:
    return look.ascii if ascii_only() else look.glyph


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    if value >= 1000:
        return text.duration(value / 1000)
    return f"{value:.0f} ms" if value >= 10 else f"{value:.1f} ms"


# --- sentences ---------------------------------------------------------------------------------


def name_of(seats: Sequence[Seat], id_: str) -> str:
    """A member by its number and name."""
    for at, seat in enumerate(seats):
        if seat.id == id_:
            return f"{at} {text.one_line(seat.member.name)}"
    return id_


def foot(frame: Frame, here: Here, width: int) -> Row:
    """One calm line above the prompt: what goes on, or who answers."""
    chat = frame.chat
    name = cut(name_of(chat.seats, here.current), max(8, width - 50))
    press = "esc, then " if here.is_typing else ""
    if chat.failure or chat.ended:
        return ((f"{press}r starts the engine anew; the conversation is kept", "warn"),)
    if chat.state in {"starting", "loading"}:
        what = "starting the engine" if chat.state == "starting" else "loading the base"
        waiting = "; what was asked is answered then" if here.is_answering else ""
        for_ = f" {text.duration(frame.seconds)}" if frame.seconds else ""
        return ((f"{what}{'...' if ascii_only() else '…'}{for_}", "accent"),) + (
            ((waiting, "muted"),) if waiting else ()
        )
    if here.is_answering:
        return ("answering", "accent"), (f"; {press}x ends it and keeps what is written", "muted")
    seat = chat.seat(here.current)
    if here.current != chat.current or seat is None:
        return ((f"attaching {name}", "accent"),)
    took = _milliseconds(seat.swap_milliseconds)
    swapped = f"{dot()}swapped in {took}" if took else ""
    warned = seat.warnings[0] if seat.warnings else ""
    start = f"{name} answers{swapped}"
    rest = cut(f"{dot()}{warned}", max(0, width - width_of(start))) if warned else ""
    return (start, "muted"), (rest, "warn")


def notices(chat: Chat) -> str:
    """All that was said of the members and the engine, to be read in peace."""
    said = []
    for seat in chat.seats:
        name = name_of(chat.seats, seat.id)
        if seat.state == REFUSED:
            reason = seat.refused
            said.append(f"{name} was refused\n{reason.get('summary')}\n{reason.get('hint')}")
        said += [f"{name}\n{warning}" for warning in seat.warnings]
    return "\n\n".join(part.strip() for part in (*said, *chat.warnings))
