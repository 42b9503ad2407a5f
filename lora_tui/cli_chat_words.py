"""What a chat on the command line says: answers for stdout, notes for stderr."""

from collections.abc import Iterator, Sequence

import click

from lora_tui.core import text
from lora_tui.core.chat import (
    CANCELLED,
    MAX_NEW_TOKENS,
    MODEL_LIMIT,
    REFUSED,
    UNANSWERED,
    Chat,
    Turn,
)
from lora_tui.core.events import Event, figure

_ENDS = {
    MAX_NEW_TOKENS: "cut off by --max-new-tokens",
    MODEL_LIMIT: "cut off: the model was made for no more tokens",
    CANCELLED: "cancelled",
}


def name_of(chat: Chat, id_: str) -> str:
    """What a member is called, on one line."""
    seat = chat.seat(id_)
    return text.one_line(seat.member.name if seat else id_)


def milliseconds(took: float | None) -> str:
    """How long attaching or swapping took."""
    return "-" if took is None else f"{took:.1f} ms"


def about(chat: Chat, event: Event) -> str:
    """What the engine told beside answers; empty for events that need no words."""
    name = name_of(chat, str(event.get("id", "")))
    match event["kind"]:
        case "loaded":
            took = text.duration(figure(event.get("seconds")))
            return f"{chat.seats[0].member.base}: {event.get('dtype')}, loaded in {took}"
        case "attached":
            took = milliseconds(figure(event.get("milliseconds")))
            warnings = (f"\n! {name}: {words}" for words in event.get("warnings", ()))
            return f"{name} attached in {took}" + "".join(warnings)
        case "refused":
            return f"! {name}: {event.get('summary')}\n{event.get('hint')}"
        case "warning":
            return f"! {event.get('text')}"
    return ""


def seats(chat: Chat, current: str) -> Iterator[str]:
    """Who can be asked, and by what."""
    for number, seat in enumerate(chat.seats):
        mark = ", refused" if seat.state == REFUSED else ""
        mark += ", answers now" if seat.id == current else ""
        yield f"/{number:<9} {name_of(chat, seat.id)}{mark}"


def ends(chat: Chat, turn: Turn) -> Iterator[str]:
    """What has to be said of answers that did not end by themselves."""
    for id_ in turn.to:
        answer = turn.answer(id_)
        if answer.ended == UNANSWERED:
            failure = answer.failure
            yield f"! {name_of(chat, id_)}: {failure.get('summary')}\n{failure.get('hint')}"
        elif words := _ENDS.get(answer.ended):
            yield f"({name_of(chat, id_)}: {words})"


def together(chat: Chat, turn: Turn) -> str:
    """How several were asked: at once or one by one, and whether that makes a difference."""
    if len(turn.to) < 2:
        return ""
    if not any(turn.answer(id_).mixed for id_ in turn.to):
        return "one after another"
    exact = "exact" if chat.is_exact else f"not exact in {chat.loaded.get('dtype')}"
    return f"one mixed batch, {exact}"


class Printing:
    """The answers of one turn, in order: each as it is written, once it is its turn."""

    def __init__(self, to: Sequence[str], heads: Sequence[str]) -> None:
        """Whose, and what stands before each."""
        self._left = list(zip(to, heads, strict=True))
        self._shown = 0

    def go_on(self, turn: Turn) -> None:
        """Print what came since."""
        while self._left:
            id_, head = self._left[0]
            answer = turn.answer(id_)
            if answer.text and not self._shown:
                _write(head)
            _write(answer.text[self._shown :])
            self._shown = len(answer.text)
            if not answer.ended:
                return
            if answer.text or answer.ended != UNANSWERED:
                _write("\n")
            self._left.pop(0)
            self._shown = 0


def _write(words: str) -> None:
    """Print a piece of text from a model, without a line break of its own."""
    if words:
        click.echo(text.printable(words), nl=False)
