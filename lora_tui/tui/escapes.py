"""Escape and the key after it are two keys, also when they arrive in one burst.

Over a slow line they do, and Textual takes the two for alt and a key: of escape and enter it makes
enter alone, which answers the question that escape was to leave. Alt is bound where text is typed
only: with b, f and backspace it goes by words.
"""

import os
import re
from collections.abc import Iterable
from enum import Enum
from typing import cast

from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._time import get_time
from textual._xterm_parser import BRACKETED_PASTE_END, BRACKETED_PASTE_START, XTermParser
from textual.drivers import linux_driver
from textual.events import Key
from textual.keys import Keys
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, TextArea

_ESCAPE = "\x1b[27u"
"""Kitty's spelling of the key, which nothing can continue."""

_ALONE = r"\x1b(?!\[[ -~]|O[ -~]|[bf\x7f\x08%s])"
"""An escape that neither starts a sequence nor stands for alt before a key of the enumeration."""

_UNFINISHED = re.compile(r"\x1b(?:O|\[(?:2(?:0[01]?)?)?|[]P_^][ -~]*\x1b?)?\Z")
"""What may turn into a sequence by what comes next, as far as it is looked for here."""

_ANSWER = re.compile(r"\x1b[]P_^][^\x07\x1b]*(?:\x07|\x1b\\)")
"""What a terminal says when it is asked for its colours or its name; no key."""

_PASTE = re.compile(f"({re.escape(BRACKETED_PASTE_START)}|{re.escape(BRACKETED_PASTE_END)})")


class ByWords(Enum):
    """Keys with alt that terminals send as escape and a key."""

    BACK = "alt+b"
    FORTH = "alt+f"
    DELETE = "alt+backspace"


_MEANT = {ByWords.BACK: "ctrl+left", ByWords.FORTH: "ctrl+right", ByWords.DELETE: "ctrl+w"}
_SENT = {"b": ByWords.BACK, "f": ByWords.FORTH, "\x7f": ByWords.DELETE, "\x08": ByWords.DELETE}


class EscapeParser(XTermParser):
    """Textual's, given each escape that stands alone in a spelling of its own."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        tab = r"\t" if os.environ.get("TERM") == "linux" else ""  # how that one sends shift+tab
        self._alone = re.compile(_ALONE % tab)
        self._held = ""
        self._held_since = 0.0
        self._in_paste = False

    def feed(self, data: str) -> Iterable[Message]:
        """The events of some characters; a start at their end waits for what follows it."""
        if not data:  # the terminal has ended
            yield from super().feed(data)
            return
        data = _ANSWER.sub("", self._held + data)
        self._held = found[0] if (found := _UNFINISHED.search(data)) else ""
        self._held_since = get_time()
        yield from self._fed(data.removesuffix(self._held))

    def tick(self) -> Iterable[Message]:
        """What was held for as long as a sequence may take: nothing continues it."""
        if self._held and get_time() - self._held_since >= constants.ESCAPE_DELAY:
            data, self._held = self._held, ""
            yield from self._fed(_ESCAPE + data[1:])
        yield from super().tick()

    def _fed(self, data: str) -> Iterable[Message]:
        spelled = ""
        for part in _PASTE.split(data):
            if _PASTE.fullmatch(part):
                self._in_paste = part == BRACKETED_PASTE_START
                spelled += part
            else:
                spelled += self._alone.sub("" if self._in_paste else _ESCAPE, part)
        if spelled:
            yield from super().feed(spelled)


def apart(key: Key, focused: Widget | None) -> list[Key]:
    """A key as what has the focus takes it: alt and a key are two keys where nobody types."""
    if key.key not in {one.value for one in ByWords}:
        return [key]
    one = ByWords(key.key)
    if isinstance(focused, Input | TextArea):
        return [Key(_MEANT[one], None)]
    name = key.key.removeprefix("alt+")
    return [Key("escape", None), Key(name, name if len(name) == 1 else None)]


def keep_escapes() -> None:
    """Have the terminal read by it from now on."""
    assert hasattr(linux_driver, "XTermParser"), "Textual reads the terminal by another parser"
    sequences = cast("dict[str, object]", ANSI_SEQUENCES_KEYS)
    sequences[_ESCAPE] = (Keys.Escape,)
    sequences |= {f"\x1b{sent}": (key,) for sent, key in _SENT.items()}
    vars(linux_driver)["XTermParser"] = EscapeParser
