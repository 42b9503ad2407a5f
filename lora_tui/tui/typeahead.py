"""Keys wait for the one before them: over a slow line they arrive in bursts.

Textual hands each key to the widget that has the focus at that moment, so of `t` and `enter` in one
burst the second would reach the screen below the dialogue that the first one opens.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

from textual import on
from textual.app import App
from textual.events import Event, Key, Paste
from textual.message import Message
from textual.timer import Timer

from lora_tui.tui.escapes import apart, keep_escapes

_PATIENCE = 1.0  # seconds after which a key whose end was lost holds up no other
_AT_ONCE = frozenset({"ctrl+c", "ctrl+q"})


class TypeAhead(App[None]):
    """An app that takes in one key at a time, and none while a dialogue is on its way."""

    class KeyDone(Message):
        """Follows a key through the widgets it bubbles through, and so arrives after it."""

    def __init__(self) -> None:
        """No key is waiting."""
        super().__init__()
        keep_escapes()
        self._keys: deque[Key | Paste] = deque()
        self._in_flight: Timer | None = None
        self._is_opening = False

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key | Paste) and not event.is_forwarded and not _is_urgent(event):
            self._keys.append(event)
            await self._next_key()
        else:
            await super().on_event(event)

    async def _next_key(self) -> None:
        if self._in_flight is None and not self._is_opening and self._keys:
            self._in_flight = self.set_timer(_PATIENCE, self.key_is_done)
            event, *rest = self._next()
            self._keys.extendleft(rest)
            await super().on_event(event)
            (self.focused or self.screen).post_message(self.KeyDone())

    def _next(self) -> Sequence[Key | Paste]:
        event = self._keys.popleft()
        return apart(event, self.focused) if isinstance(event, Key) else [event]

    @on(KeyDone)
    async def key_is_done(self) -> None:
        """Hand out the next key."""
        if self._in_flight is not None:
            self._in_flight.stop()
            self._in_flight = None
        await self._next_key()

    def hold_keys(self) -> None:
        """Keep keys back until the next screen stands, or `release_keys`."""
        self._is_opening = True

    async def release_keys(self) -> None:
        """Go on with the keys that came meanwhile."""
        self._is_opening = False
        await self._next_key()

    def push_screen(self, *args: Any, **kwargs: Any) -> Any:
        """Open a screen; keys that were kept back are for it."""
        opened = super().push_screen(*args, **kwargs)
        if self._is_opening:
            self.screen.call_after_refresh(self.release_keys)
        return opened


def _is_urgent(event: Key | Paste) -> bool:
    return isinstance(event, Key) and event.key in _AT_ONCE
