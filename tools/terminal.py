"""A program in a real pseudo-terminal: keys go in, a screen comes out, its costs are read."""

import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

import psutil
import pyte

APP = [str(Path(sys.executable).with_name("lora-tui"))]
"""The command that opens the app, as a user would type it."""


class Terminal:
    """Starts a command in a terminal of its own; use it as a context manager.

    The program only goes on while it is pumped, by `pump` or one of the waits.
    """

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        size: tuple[int, int] = (80, 24),
    ) -> None:
        """Start `command` in a terminal of `size` columns and lines."""
        columns, lines = size
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._chunks: list[bytes] = []
        self._ended = False
        self.most_memory = 0
        self.began = time.perf_counter()
        self.pid, self._handle = pty.fork()
        if self.pid == 0:
            try:
                fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
                plain = {"TERM": "xterm-256color", "LANG": "C.UTF-8"}
                os.execvpe(command[0], list(command), {**os.environ, **plain, **(env or {})})
            finally:
                os._exit(127)  # a copy of the caller must not go on
        self._process = psutil.Process(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the program, if it has not ended by itself."""
        self.hang_up()
        with suppress(psutil.NoSuchProcess):
            self._process.kill()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    @property
    def text(self) -> str:
        """The screen as it is now."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    @property
    def raw(self) -> bytes:
        """Everything the program wrote."""
        return b"".join(self._chunks)

    @property
    def written(self) -> int:
        """How many bytes the program wrote."""
        return sum(map(len, self._chunks))

    @property
    def cpu_seconds(self) -> float:
        """Processor time the program has taken so far."""
        times = self._process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory(self) -> int:
        """Resident bytes now."""
        return int(self._process.memory_info().rss)

    def press(self, keys: str) -> float:
        """Type `keys` in one burst; the moment it was done."""
        os.write(self._handle, keys.encode())
        return time.perf_counter()

    def pump(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Take in what the program writes for `seconds`; whether `until` held before."""
        end = time.perf_counter() + seconds
        while not until():
            left = end - time.perf_counter()
            if left <= 0 or self._ended:
                return False
            self._take_in(min(left, 0.02))
            with suppress(psutil.NoSuchProcess):
                self.most_memory = max(self.most_memory, self.memory)
        return True

    def settle(self, seconds: float = 0.5) -> None:
        """Go on until the program has written nothing for `seconds`: it is ready for keys."""
        end, before = time.perf_counter() + 60, -1
        while before != self.written and time.perf_counter() < end:
            before = self.written
            self.pump(seconds)

    def _take_in(self, seconds: float) -> None:
        if not select.select([self._handle], [], [], seconds)[0]:
            return
        try:
            data = os.read(self._handle, 1 << 16)
        except OSError:  # how Linux says that nobody is left at the other end
            data = b""
        self._ended = not data
        self._chunks.append(data)
        self._stream.feed(data)

    def drain(self, seconds: float) -> None:
        """Take what the program writes for `seconds` and throw it away: drawing costs time too."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._handle], [], [], left)[0]:
                os.read(self._handle, 1 << 16)

    @contextmanager
    def halted(self) -> Iterator[None]:
        """Inside, the program gets no processor time."""
        self._process.suspend()
        try:
            yield
        finally:
            self._process.resume()

    def wait_for(self, shown: str | Callable[[str], bool], seconds: float = 180.0) -> float:
        """The moment a text was on the screen, or a condition on it held.

        Raises:
            TimeoutError: it did not come; the message has what was on the screen instead.
        """
        holds = shown if callable(shown) else lambda text: shown in text
        if self.pump(seconds, lambda: holds(self.text)):
            return time.perf_counter()
        raise TimeoutError(f"{shown!r} did not come in {seconds:g} s:\n{self.text}")

    def wait_for_end(self, seconds: float = 180.0) -> int:
        """The exit status of a program that ends by itself.

        Raises:
            TimeoutError: it did not.
        """
        if not self.pump(seconds, lambda: self._ended):
            raise TimeoutError(f"it did not end in {seconds:g} s:\n{self.text}")
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def hang_up(self) -> None:
        """Close the terminal, as a dropped connection does."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait for something outside the terminal, such as a file.

    Raises:
        TimeoutError: it did not come.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.05)
