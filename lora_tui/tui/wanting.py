"""What a screen wants of the thread that works for it: one mechanism for all of them."""

import queue
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Wanting(threading.Event):
    """Set, the thread ends; woken, it looks up from what it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self._woken = threading.Event()

    def wake(self) -> None:
        """Something is wanted now."""
        self._woken.set()

    def set(self) -> None:
        super().set()
        self.wake()

    def wait(self, timeout: float | None = None) -> bool:
        """Return after `timeout`, or as soon as anything is wanted."""
        if not self.is_set():
            self._woken.wait(timeout)
            self._woken.clear()
        return self.is_set()


class Latest(Wanting, Generic[T]):
    """The newest of what was wanted counts: an immutable value, replaced as a whole."""

    def __init__(self, value: T) -> None:
        super().__init__()
        self._value = value

    @property
    def value(self) -> T:
        """What is wanted."""
        return self._value

    def want(self, value: T) -> None:
        """Something else."""
        if value != self._value:
            self._value = value
            self.wake()


class Wishes(Wanting, Generic[T]):
    """All that was wanted counts, in its order."""

    def __init__(self, *wishes: T) -> None:
        super().__init__()
        self._waiting: queue.SimpleQueue[T] = queue.SimpleQueue()
        for wish in wishes:
            self.put(wish)

    def put(self, wish: T) -> None:
        """One wish more."""
        self._waiting.put(wish)
        self.wake()

    def take(self) -> Iterable[T]:
        """All that wait."""
        with suppress(queue.Empty):
            while True:
                yield self._waiting.get_nowait()

    @property
    def are_waiting(self) -> bool:
        """Whether something is to be done first."""
        return not self._waiting.empty() or self.is_set()
