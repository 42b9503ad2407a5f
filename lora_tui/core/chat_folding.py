"""A chat's events folded into a snapshot."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from lora_tui.core.chat import (
    ATTACHED,
    GONE,
    REFUSED,
    UNANSWERED,
    Answer,
    Chat,
    Seat,
    Turn,
)
from lora_tui.core.events import Event, figure, whole
from lora_tui.core.folding import Folding as Folds
from lora_tui.core.members import Member


class Folding(Folds[Chat]):
    """Takes in a chat's events."""

    def __init__(self, members: Iterable[Member]) -> None:
        """Begin with the members that the engine was started for, the base first."""
        super().__init__(Chat(seats=tuple(Seat(member) for member in members)))

    def gone(self) -> Chat:
        """The engine is no more and no event will come: what was being answered never will be."""
        if not self.now.ended:
            self._end(GONE, "crashed")
        return self.now

    def _on_started(self, event: Event) -> None:
        self.now = replace(self.now, started=event)

    def _on_loaded(self, event: Event) -> None:
        seconds = figure(event.get("seconds"))
        self.now = replace(self.now, loaded=event)
        self._seat(
            event,
            lambda seat: replace(
                seat,
                state=ATTACHED,
                attach_milliseconds=None if seconds is None else 1000 * seconds,
            ),
        )

    def _on_attached(self, event: Event) -> None:
        self._seat(
            event,
            lambda seat: replace(
                seat,
                state=ATTACHED,
                attach_milliseconds=figure(event.get("milliseconds")),
                warnings=tuple(map(str, event.get("warnings", ()))),
                refused={},
            ),
        )

    def _on_refused(self, event: Event) -> None:
        self._seat(event, lambda seat: replace(seat, state=REFUSED, refused=_reason(event)))

    def _on_used(self, event: Event) -> None:
        took = figure(event.get("milliseconds"))
        self._seat(event, lambda seat: replace(seat, swap_milliseconds=took))
        self.now = replace(self.now, current=str(event["id"]))

    def _seat(self, event: Event, change: Callable[[Seat], Seat]) -> None:
        seats = tuple(
            change(seat) if seat.id == event.get("id") else seat for seat in self.now.seats
        )
        self.now = replace(self.now, seats=seats)

    def _on_ready(self, _: Event) -> None:
        self.now = replace(self.now, is_ready=True)

    def _on_asked(self, event: Event) -> None:
        turn = Turn(int(event["number"]), str(event["prompt"]), tuple(map(str, event["to"])))
        self.now = replace(self.now, turns=(*self.now.turns, turn), is_ready=False)

    def _on_piece(self, event: Event) -> None:
        self._answer(event, lambda answer: replace(answer, text=answer.text + str(event["text"])))

    def _on_answered(self, event: Event) -> None:
        self._answer(
            event,
            lambda _: Answer(
                text=str(event["text"]),
                ended=str(event["ended"]),
                tokens=whole(event.get("tokens")),
                seconds=figure(event.get("seconds")),
                prompt_tokens=whole(event.get("prompt_tokens")),
                mixed=bool(event.get("mixed")),
            ),
        )

    def _on_unanswered(self, event: Event) -> None:
        self._answer(
            event, lambda answer: replace(answer, ended=UNANSWERED, failure=_reason(event))
        )

    def _answer(self, event: Event, change: Callable[[Answer], Answer]) -> None:
        number, id_ = event["number"], str(event["id"])

        def changed(turn: Turn) -> Turn:
            if turn.number != number:
                return turn
            return replace(turn, answers={**turn.answers, id_: change(turn.answer(id_))})

        self.now = replace(self.now, turns=tuple(map(changed, self.now.turns)))

    def _on_warning(self, event: Event) -> None:
        self.now = replace(self.now, warnings=(*self.now.warnings, str(event.get("text", ""))))

    def _on_failed(self, event: Event) -> None:
        self._end(_reason(event), "failed")

    def _on_finished(self, event: Event) -> None:
        self._end({}, str(event["kind"]))

    _on_stopped = _on_finished

    def _end(self, failure: Mapping[str, str], how: str) -> None:
        why = failure or {"summary": "The chat was closed.", "hint": ""}

        def closed(answer: Answer) -> Answer:
            return answer if answer.ended else replace(answer, ended=UNANSWERED, failure=why)

        turns = tuple(
            turn
            if turn.is_over
            else replace(turn, answers={id_: closed(turn.answer(id_)) for id_ in turn.to})
            for turn in self.now.turns
        )
        self.now = replace(self.now, turns=turns, is_ready=False, ended=how, failure=failure)


def _reason(event: Event) -> dict[str, str]:
    return {"summary": str(event.get("summary", "")), "hint": str(event.get("hint", ""))}
