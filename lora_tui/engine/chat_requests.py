"""What a chat engine is told: lines of JSON on its standard input, read while it works."""

import json
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.settings import problems_in
from lora_tui.engine.formats import Message

_CHUNK = 1 << 16


class BadRequest(Exception):
    """A request that makes no sense, and why."""


@dataclass(frozen=True, slots=True)
class Ask:
    """Answers that are asked for: of whom, and to which conversation of each."""

    number: int
    to: tuple[str, ...]
    messages: Mapping[str, list[Message]]
    settings: Mapping[str, Any]
    cancelled: Callable[[], bool]

    @property
    def requested(self) -> bool:
        """Whether nobody wants the answers any more."""
        return self.cancelled()

    @property
    def prompt(self) -> str:
        """What was asked last."""
        return str(self.messages[self.to[0]][-1]["content"])


@dataclass(frozen=True, slots=True)
class Use:
    """Somebody else shall answer from here on."""

    id: str


class Requests:
    """Requests in their order; a thread reads them, so that an answer can be cancelled.

    When the input ends, whoever asked is gone: the main thread is told by SIGTERM, wherever it is.
    """

    def __init__(self, handle: int, refuse: Callable[[str], None]) -> None:
        """Begin to read.

        Args:
            handle: The file descriptor to read.
            refuse: Told why a line is no request.
        """
        self.ended = False
        self._handle, self._refuse = handle, refuse
        self._waiting: queue.SimpleQueue[Ask | Use] = queue.SimpleQueue()
        self._asked = self._cancelled = 0
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Ask | Use:
        """The next request; waits for it."""
        return self._waiting.get()

    def _read(self) -> None:
        rest = b""
        try:
            # Not a file object: its lock would be held in this thread when the process ends.
            while data := os.read(self._handle, _CHUNK):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.strip():
                        self._take(line)
        finally:  # an engine that hears nothing more must not stay
            self.ended = True
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, signal.SIGTERM)

    def _take(self, line: bytes) -> None:
        try:
            request = self._parse(line)
        except BadRequest as error:
            self._refuse(str(error))
            return
        if request is None:
            self._cancelled = self._asked
        else:
            self._waiting.put(request)

    def _parse(self, line: bytes) -> Ask | Use | None:
        """The request in a line; None is a cancellation of all that was asked before."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BadRequest("it is no JSON") from error
        if not isinstance(request, dict):
            raise BadRequest("it is no JSON object")
        match request.get("do"):
            case "cancel":
                return None
            case "use":
                return Use(_text(request, "id"))
            case "ask":
                return self._ask(request)
        raise BadRequest(f"it asks for {request.get('do')!r}, not for ask, use or cancel")

    def _ask(self, request: Mapping[str, Any]) -> Ask:
        to = request.get("to")
        if not isinstance(to, list) or not to or not all(isinstance(id_, str) for id_ in to):
            raise BadRequest("`to` is no list of ids")
        number = request.get("number")
        if not isinstance(number, int):
            raise BadRequest("`number` is no whole number")
        said, to = request.get("messages"), tuple(dict.fromkeys(to))
        messages = {id_: _messages(said.get(id_) if isinstance(said, dict) else said) for id_ in to}
        settings = _settings(request.get("settings"))
        self._asked += 1
        mine = self._asked
        return Ask(number, to, messages, settings, lambda: self._cancelled >= mine)


def _text(request: Mapping[str, Any], name: str) -> str:
    value = request.get(name)
    if not isinstance(value, str):
        raise BadRequest(f"`{name}` is no text")
    return value


def _messages(said: Any) -> list[Message]:
    if not isinstance(said, list) or not said:
        raise BadRequest("`messages` holds no conversation for everybody asked")
    for one in said:
        if not (isinstance(one, dict) and all(isinstance(one.get(k), str) for k in _MESSAGE)):
            raise BadRequest("`messages` holds what has no role and content")
    return said


_MESSAGE = ("role", "content")


def _settings(said: Any) -> dict[str, Any]:
    """How tokens are chosen; a value out of range is refused, not replaced."""
    if said is None:
        said = {}
    if not isinstance(said, dict):
        raise BadRequest("`settings` is no object")
    if wrong := problems_in(ChatSettings, said, "settings"):
        raise BadRequest("; ".join(map(str, wrong)))
    return replace(ChatSettings(), **said).request()
