"""An answer on its way out: token ids become text as they come, and are told of in batches."""

import time
from collections.abc import Callable
from typing import Any

from lora_tui.core.chat import END_OF_TURN

_EVERY = 0.1  # seconds between two pieces of one answer
_BROKEN = "\N{REPLACEMENT CHARACTER}"


class Words:
    """Text out of token ids, as far as it is certain.

    A character of several tokens waits for the last of them. What is new is the difference between
    two decodings, since some tokenizers write a word's first space only behind another word.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Begin without a token."""
        self.ids: list[int] = []
        self._tokenizer = tokenizer
        self._from = self._told = 0

    def add(self, token: int) -> str:
        """Take in a token; the text that became certain by it, perhaps none."""
        self.ids.append(token)
        before = self._decoded(self.ids[self._from : self._told])
        now = self._decoded(self.ids[self._from :])
        if len(now) <= len(before) or now.endswith(_BROKEN):
            return ""
        self._from, self._told = self._told, len(self.ids)
        return now[len(before) :]

    @property
    def text(self) -> str:
        """All of it, with what will stay incomplete."""
        return self._decoded(self.ids)

    def _decoded(self, ids: list[int]) -> str:
        return str(
            self._tokenizer.decode(
                ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
        )


class Writing:
    """One member's answer while it is written."""

    def __init__(self, tokenizer: Any, tell: Callable[[str], None]) -> None:
        """Begin; `tell` is given new text, not too often."""
        self.words = Words(tokenizer)
        self.ended = ""
        self.seconds = 0.0
        self._tell = tell
        self._pending = ""
        self._began = time.perf_counter()
        self._due = self._began

    def take(self, token: int | None) -> bool:
        """The next token, or None where the turn has ended; whether it goes on."""
        if token is None:
            self.end(END_OF_TURN)
            return False
        self._pending += self.words.add(token)
        if self._pending and time.perf_counter() >= self._due:
            self._tell(self._pending)
            self._pending = ""
            self._due = time.perf_counter() + _EVERY
        return True

    def end(self, how: str) -> None:
        """Nothing follows."""
        self.ended = how
        self.seconds = time.perf_counter() - self._began
