"""One chat on the command line: lines go in, answers come out on stdout, all else on stderr."""

import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

from lora_tui.cli_chat_words import Printing, about, ends, milliseconds, name_of, seats, together
from lora_tui.console import say
from lora_tui.core.chat import REFUSED, Chat, Turn, conversation
from lora_tui.core.chat_folding import Folding
from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member
from lora_tui.jobs import talk
from lora_tui.jobs.follow import follow
from lora_tui.jobs.talk import Talk

_HELP = """\
TEXT       ask who answers now; begin with a space to ask what begins with a /
/1 /2 ...  let that member answer from here on, /0 the base
/all TEXT  ask the base and everybody at once
/new       forget the conversation
/quit      end; so does ctrl+d. ctrl+c ends the answer being written, twice the chat"""


class Refused(LoraTuiError):
    """Who shall answer cannot be attached; the others can be asked."""


class Host:
    """One chat: hands lines on, and says what comes back."""

    def __init__(
        self,
        folding: Folding,
        settings: ChatSettings,
        *,
        to_all: bool,
        prints: bool,
        is_person: bool,
    ) -> None:
        """Nothing is started yet.

        Args:
            folding: What the engine tells goes in here.
            settings: What goes with every question.
            to_all: Whether everybody answers each line.
            prints: Whether answers go to stdout as they come.
            is_person: Whether ctrl+c means the answer that is being written.
        """
        self._folding, self._settings = folding, settings
        self._to_all, self._prints, self._is_person = to_all, prints, is_person
        self._current = ""
        self._since = 0
        self._way = ""
        self._done, self._due = 0, 1
        self.is_asking = self.was_cancelled = False

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Inside, there is an engine, and somebody who answers.

        Raises:
            LoraTuiError: there is nobody, or no engine.
        """
        members = [seat.member for seat in self.chat.seats]
        if words := talk.rivalry(members):
            say(f"! {words}", err=True)
        with Talk(members) as self._talk:
            self._events = follow(self._talk.run, threading.Event(), every=0.03)
            self._wait()
            self._choose(members[1:])
            yield

    def _choose(self, members: Sequence[Member]) -> None:
        """Let the first one answer that is not refused.

        Raises:
            LoraTuiError: there is none.
        """
        for member in members:
            if self._is_refused(member.id):
                continue
            with suppress(Refused):
                self._use(member.id)
                return
        raise LoraTuiError("None of these can be attached.", "Why is said with each.")

    @property
    def chat(self) -> Chat:
        """The chat as it stands."""
        return self._folding.now

    @property
    def who(self) -> str:
        """Who answers next."""
        return "all" if self._to_all else name_of(self.chat, self._current)

    def hear(self, line: str) -> bool:
        """Do what a line asks for; whether the chat goes on.

        Raises:
            BadInput: it asks for what there is not.
            Refused: it lets somebody answer who cannot.
            LoraTuiError: the engine is gone.
        """
        self.was_cancelled = False
        if not line.strip():
            return True
        if not line.startswith("/"):
            self._ask(line.strip(), self.chat.usable if self._to_all else (self._current,))
            return True
        word, *rest = line.split(maxsplit=1)
        if rest and word != "/all":
            raise BadInput(
                f"Nothing can stand behind {word}.", "Write what is asked on a new line."
            )
        match word:
            case "/quit":
                return False
            case "/help":
                say(_HELP, err=True)
                for row in seats(self.chat, self._current):
                    say(row, err=True)
            case "/new":
                self._since = len(self.chat.turns) + 1
                say("The conversation is forgotten.", err=True)
            case "/all":
                if not rest:
                    raise BadInput("/all asks nothing.", "Write the question behind it.")
                self._ask(rest[0].strip(), self.chat.usable)
            case _:
                self._use(self._id_of(word))
                self._to_all = False
        return True

    def _id_of(self, word: str) -> str:
        number = re.fullmatch(r"/([0-9]{1,4})", word)
        if not number:
            raise BadInput(
                f"There is no command {word}.",
                "/help lists them; to ask what begins with a /, begin with a space.",
            )
        if int(number[1]) >= len(self.chat.seats):
            raise BadInput(f"There is no member {number[1]}.", "/help lists them.")
        return self.chat.seats[int(number[1])].id

    def _use(self, id_: str) -> None:
        self._do(lambda: self._talk.use(id_))
        if self._is_refused(id_):
            raise Refused(f"{name_of(self.chat, id_)} cannot answer.", "The others go on.")
        self._current = id_
        seat = self.chat.seat(id_)
        took = milliseconds(seat.swap_milliseconds if seat else None)
        say(f"{name_of(self.chat, id_)} answers, swapped in {took}", err=True)

    def _ask(self, prompt: str, to: Sequence[str]) -> None:
        """Ask, and print what is answered; ctrl+c ends that, a second one all."""
        number = len(self.chat.turns) + 1
        messages = {
            id_: conversation(
                self.chat, id_, prompt, system=self._settings.system, since=self._since
            )
            for id_ in to
        }
        given = messages if len(to) > 1 else messages[to[0]]
        names = [f"{name_of(self.chat, id_)}: " if len(to) > 1 else "" for id_ in to]
        printing = Printing(to, names)

        def print_answers() -> None:
            if self._prints and (turn := self.chat.turn(number)):
                printing.go_on(turn)

        with self._cancelling():
            self._do(
                lambda: self._talk.ask(number, to, given, self._settings.request()), print_answers
            )
        if turn := self.chat.turn(number):
            self._say_end(turn)

    @contextmanager
    def _cancelling(self) -> Iterator[None]:
        """Inside, ctrl+c ends the answer, where there is somebody to press it twice."""
        if not self._is_person:
            yield
            return

        def cancel(*_: object) -> None:
            self.was_cancelled = True
            signal.signal(signal.SIGINT, signal.default_int_handler)
            with suppress(LoraTuiError):  # the engine is gone: who waits for it sees that
                self._talk.cancel()

        self.is_asking = True
        before = signal.signal(signal.SIGINT, cancel)
        try:
            yield
            self.is_asking = False
        finally:
            signal.signal(signal.SIGINT, before)

    def _do(self, request: Callable[[], None], each: Callable[[], None] = lambda: None) -> None:
        """Hand a request over and wait until it is done; `each` is called as words come.

        Raises:
            LoraTuiError: the engine is gone.
        """
        self._due += 1
        with suppress(LoraTuiError):  # it is gone: waiting finds out why
            request()
        self._wait(each)

    def _wait(self, each: Callable[[], None] = lambda: None) -> None:
        while self._done < self._due:
            batch = next(self._events, None)
            chat = self._folding.gone() if batch is None else self._folding.fold(batch)
            for event in batch or ():
                self._done += event["kind"] == "ready"
                if words := about(self.chat, event):
                    say(words, err=True)
            each()
            if chat.ended:
                raise LoraTuiError(**(chat.failure or _ENDED))

    def _say_end(self, turn: Turn) -> None:
        for words in ends(self.chat, turn):
            say(words, err=True)
        if (way := together(self.chat, turn)) and way != self._way:
            say(f"({way})", err=True)
            self._way = way

    def _is_refused(self, id_: str) -> bool:
        seat = self.chat.seat(id_)
        return seat is not None and seat.state == REFUSED


_ENDED = {"summary": "The chat was ended from outside.", "hint": ""}
