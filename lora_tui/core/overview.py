"""All runs at a glance, kept up to date by looking again: what did not change is not read twice."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lora_tui.core import locations, runs
from lora_tui.core.runs import Run
from lora_tui.core.series import Points
from lora_tui.core.summary import Headline, headline

_BATCH = 50
_CURVE = 12
_RECENT = 50
_ALL_EVERY = 10  # looks; an old run that another terminal resumed is seen by then

Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Board:
    """The runs as they are listed, with the headlines known: live ones, the queue, the rest."""

    runs: tuple[Run, ...] = ()
    lines: Mapping[Run, Headline] = field(default_factory=dict)


class Overview:
    """Looks at the runs folder and remembers what it saw. Not for two threads at once."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._stamps: dict[Run, Stamp] = {}
        self._lines: dict[Run, Headline] = {}
        self._alive: set[Run] = set()
        self._waiting: dict[Run, tuple[float, float, str]] = {}
        self._order: tuple[Run, ...] | None = None
        self._found: list[Run] = []
        self._folder = (0, 0)
        self._looks = 0

    def look(self, *, at_all: bool = False) -> Iterator[Board]:
        """Yield a board each time it differs from the one before; nothing when nothing changed.

        The first board has the order alone, so that a list of a thousand runs stands at once; the
        headlines follow from the top down, a batch at a time. Most looks are at live and recent
        runs only, every tenth is `at_all`: an idle screen costs next to nothing.
        """
        at_all = at_all or self._looks % _ALL_EVERY == 0
        self._looks += 1
        found = self._find(at_all)
        looked_at = found if at_all else [*self._alive, *self._waiting, *found[:_RECENT]]
        changed = [run for run in dict.fromkeys(looked_at) if self._has_changed(run)]
        order = self._ordered(found)
        if order != self._order:
            self._order = order
            yield self._board()
        rank = {run: place for place, run in enumerate(order)}
        changed.sort(key=rank.__getitem__)
        for start in range(0, len(changed), _BATCH):
            before = [self._lines.get(run) for run in changed[start : start + _BATCH]]
            after = [self._read(run) for run in changed[start : start + _BATCH]]
            self._order = self._ordered(found)
            if before != after:
                yield self._board()

    def _find(self, at_all: bool) -> list[Run]:
        """The runs there are; mostly the folder is listed only when one came or went."""
        folder = _stat(str(locations.runs_folder()))
        if not at_all and folder == self._folder and folder != (0, 0):
            return self._found
        self._folder = folder
        self._found = runs.list_runs()
        for gone in self._stamps.keys() - set(self._found):
            del self._stamps[gone]
            self._lines.pop(gone, None)
            self._alive.discard(gone)
            self._waiting.pop(gone, None)
        return self._found

    def _has_changed(self, run: Run) -> bool:
        """Whether the run has to be read again; a crash shows in the lock alone."""
        stamp = _stamp(run)
        if self._stamps.get(run) == stamp:
            return run in self._alive and not runs.is_alive(run)
        if run not in self._stamps and runs.is_alive(run):
            self._alive.add(run)
        self._stamps[run] = stamp
        return True

    def _read(self, run: Run) -> Headline:
        line = headline(run)
        line = replace(line, curve=_thinned(line.curve))
        self._lines[run] = line
        if line.is_live:
            self._alive.add(run)
        else:
            self._alive.discard(run)
        self._waiting.pop(run, None)
        if line.ticket:
            self._waiting[run] = line.ticket.order
        return line

    def _ordered(self, found: list[Run]) -> tuple[Run, ...]:
        live = [run for run in found if run in self._alive]
        waiting = sorted(self._waiting.keys() - self._alive, key=self._waiting.__getitem__)
        return tuple(dict.fromkeys([*live, *waiting, *found]))

    def _board(self) -> Board:
        return Board(self._order or (), dict(self._lines))


def _stamp(run: Run) -> Stamp:
    """Changes whenever the engine reports, another engine starts, or the queue changes."""
    size, written = _stat(f"{run.path}/events.jsonl")
    return size, written, _stat(f"{run.path}/run.lock")[1], _stat(f"{run.path}/queued")[1]


def _stat(path: str) -> tuple[int, int]:
    try:
        facts = os.stat(path)  # noqa: PTH116 - two thousand a second: a Path each would double it
    except OSError:
        return 0, 0
    return facts.st_size, facts.st_mtime_ns


def _thinned(points: Points) -> Points:
    """At most a dozen points, the last among them: a thousand runs are kept in memory."""
    if len(points) <= _CURVE:
        return points
    return tuple(points[(len(points) - 1) * index // (_CURVE - 1)] for index in range(_CURVE))
