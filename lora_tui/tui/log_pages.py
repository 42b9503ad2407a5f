"""A log file of any size, a window of lines at a time, cleaned of what only terminals obey."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from lora_tui.core.text import printable

_PAGE = 1 << 17
_MOST = 16 * _PAGE  # bytes of the file that are held at once
_LONGEST = 2000

_ESCAPE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|[\]P^_X][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles, links and other strings
    r"|[ -/]*[0-~])"
)


def clean(line: bytes) -> str:
    """One line as a terminal would have left it: the last state of a progress bar, no escapes."""
    states = [state for state in line.rstrip(b"\r").split(b"\r") if state.strip()]
    words = _ESCAPE.sub("", states[-1][: 4 * _LONGEST].decode("utf-8", "replace")) if states else ""
    return printable(words.expandtabs(4))[:_LONGEST].replace("\n", " ").rstrip()


def last_lines(path: Path, wanted: int) -> list[str]:
    """The last lines that say something."""
    pages = LogPages(path)
    pages.open_end(1 << 13)
    return [line for line in pages.lines if line][-wanted:]


def _placed(start: int, data: bytes) -> list[tuple[int, str]]:
    """Each line of `data`, with its place in the file."""
    found = []
    for line in data.removesuffix(b"\n").split(b"\n"):
        found.append((start, clean(line)))
        start += len(line) + 1
    return found


class LogPages:
    """A window on the lines of a file, moved by whole pages.

    Not thread-safe: it belongs to the worker that reads.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self._path = path
        self._held: list[tuple[int, str]] = []  # where each line begins, and its text
        self._end = 0  # where the line begins that has no end yet
        self._open = ""  # that line so far
        self.at_end = True
        """Whether the window reached to the end of the file when it was last read."""
        self.base = 0
        """The number of the first line, counted from an arbitrary one: tells how lines moved."""

    @property
    def lines(self) -> list[str]:
        """The lines of the window, the unfinished last one among them."""
        texts = [text for _, text in self._held]
        return [*texts, self._open] if self._open else texts

    @property
    def at_start(self) -> bool:
        """Whether the window begins where the file begins."""
        return self._start == 0

    @property
    def _start(self) -> int:
        return self._held[0][0] if self._held else self._end

    def open_end(self, page: int = _PAGE) -> None:
        """Move the window to the end of the file."""
        size = self._size()
        self._held, self._open = [], ""
        self._end = self.base = 0
        if size > page:
            cut = self._read(size - page, page)
            self._end = size - page + cut.find(b"\n") + 1
        self.forward()
        while not self.at_end:
            self.forward()

    def open_start(self) -> None:
        """Move the window to the start of the file."""
        self._held, self._open = [], ""
        self._end = self.base = 0
        self.forward()

    def forward(self) -> bool:
        """Read what comes after the window; whether that changed anything.

        A file that shrank was begun anew and is read from its end.
        """
        if self._size() < self._end:
            self.open_end()
            return True
        data = self._read(self._end, _PAGE)
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) >= _PAGE:
            cut = len(data)  # a line without an end, as progress bars make it
        before = self._end, self._open
        if cut:
            self._held += _placed(self._end, data[:cut])
            self._end += cut
        self._open = clean(data[cut:])
        self.at_end = len(data) < _PAGE
        drop = 0
        while drop < len(self._held) - 1 and self._end - self._held[drop][0] > _MOST:
            drop += 1
        del self._held[:drop]
        self.base += drop
        return before != (self._end, self._open)

    def back(self) -> bool:
        """Read the page before the window; False at the start of the file."""
        start = self._start
        if start == 0:
            return False
        begin = max(0, start - _PAGE)
        data = self._read(begin, start - begin)
        if begin and (cut := data.find(b"\n") + 1) < len(data):
            begin, data = begin + cut, data[cut:]
        earlier = _placed(begin, data)
        self._held[:0] = earlier
        self.base -= len(earlier)
        while len(self._held) > 1 and self._end - self._start > _MOST:
            self._end, _ = self._held.pop()
            self._open, self.at_end = "", False
        return True

    def find(
        self, wanted: str, start: int, *, up: bool, cancelled: Callable[[], bool]
    ) -> int | None:
        """The number of the next line above or below `start` with `wanted` in it, in any case."""
        wanted = wanted.casefold()
        while not cancelled():
            lines = self.lines
            last = self.base + len(lines)
            numbers = (
                range(min(start, last) - 1, self.base - 1, -1)
                if up
                else range(max(start + 1, self.base), last)
            )
            for number in numbers:
                if wanted in lines[number - self.base].casefold():
                    return number
            start = min(start, self.base) if up else max(start, last - 1)
            if not (self.back() if up else not self.at_end and self.forward()):
                break
        return None

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _read(self, start: int, most: int) -> bytes:
        try:
            handle = os.open(self._path, os.O_RDONLY)
        except OSError:
            return b""
        try:
            return os.pread(handle, most, start)
        finally:
            os.close(handle)
