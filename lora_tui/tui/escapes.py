"""Escape and the key after it are two keys, also when they arrive in one burst.

Over a slow line they do, and Textual takes the two for alt and a key: of escape and enter it makes
enter alone, which answers the question that escape was to leave. Nothing here is bound to alt.
"""

import re
import time
from collections.abc import Iterable
from typing import cast

from textual import constants
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.keys import Keys
from textual.message import Message

_ESCAPE = "\x1b"
_ALONE = re.compile(r"\x1b(?![\[Obf\t\x7f])")
"""Not the start of a sequence, nor one of the keys that go by words in a line on a Mac."""

_IN_FULL = "\x1b[27u"  # Kitty's spelling of the key, here without the rest of that protocol


class EscapeParser(XTermParser):
    """Textual's, given each escape that stands alone in a spelling that nothing continues."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._held_since: float | None = None

    def feed(self, data: str) -> Iterable[Message]:
        """The events of some characters; an escape at their end waits for what follows it."""
        is_last = not data
        if self._held_since is not None:
            self._held_since = None
            data = _ESCAPE + data
        if data.endswith(_ESCAPE) and not is_last:
            self._held_since = time.monotonic()
            data = data[:-1]
        if data:
            yield from super().feed(_ALONE.sub(_IN_FULL, data))
        if is_last:
            yield from super().feed("")

    def tick(self) -> Iterable[Message]:
        """The escape that nothing followed for as long as a sequence may take."""
        held = self._held_since
        if held is not None and time.monotonic() - held >= constants.ESCAPE_DELAY:
            self._held_since = None
            yield from super().feed(_IN_FULL)
        yield from super().tick()


def keep_escapes() -> None:
    """Have the terminal read by it from now on."""
    cast("dict[str, object]", ANSI_SEQUENCES_KEYS)[_IN_FULL] = (Keys.Escape,)
    vars(linux_driver)["XTermParser"] = EscapeParser
