"""A disk of recorded system calls, and everything that a crash can leave on it.

A killed process leaves what its calls did, the last write perhaps in part. A machine without power
leaves less: of a file what was synced, and of what came later all, half, zeros or nothing; of names
those of synced folders, and of later changes any first ones, any one, or all but any one.
"""

import os
import re
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

from benchmarks.strace import Call

_EXCHANGE = "RENAME_EXCHANGE"

Tree = dict[str, bytes | None]
"""What stands on a disk: paths to bytes, or to None for a folder."""
Place = tuple[int, str]
"""A name in a folder."""


@dataclass(frozen=True, slots=True)
class File:
    """Bytes as a reader sees them, and as they are on the disk for certain."""

    now: bytes = b""
    synced: bytes = b""

    def torn(self) -> Iterator[bytes]:
        """What a power cut may leave of what is not synced."""
        if self.now != self.synced:
            yield from _torn(self.now, self.synced)


@lru_cache(maxsize=1000)
def _torn(now: bytes, synced: bytes) -> tuple[bytes, bytes, bytes]:
    kept = synced if now.startswith(synced) else b""
    more = now[len(kept) :]
    return synced, kept + more[: len(more) // 2], kept + bytes(len(more))


@dataclass(slots=True)
class Opened:
    """A handle: of what, and where its next write goes."""

    inode: int
    appends: bool
    offset: int = 0


@dataclass(slots=True)
class Disk:
    """A folder, and the calls that were made in it since."""

    root: Path
    files: dict[int, File | None] = field(default_factory=dict)
    names: dict[Place, int] = field(default_factory=dict)
    certain: dict[Place, int] = field(default_factory=dict)
    uncertain: list[dict[Place, int | None]] = field(default_factory=list)
    handles: dict[int, Opened] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files[0] = None
        for path in sorted(self.root.rglob("*")):
            data = path.read_bytes() if path.is_file() else None
            place = self._place(os.fsencode(path))
            assert place is not None
            self.names[place] = self._new(None if data is None else File(data, data))
        self.certain = dict(self.names)

    def copy(self) -> "Disk":
        """A disk that can go another way from here."""
        other = copy(self)
        other.files, other.names, other.certain = (
            dict(self.files),
            dict(self.names),
            dict(self.certain),
        )
        other.uncertain = list(self.uncertain)
        other.handles = {handle: replace(one) for handle, one in self.handles.items()}
        return other

    def _new(self, file: File | None) -> int:
        self.files[len(self.files)] = file
        return len(self.files) - 1

    def _place(self, path: bytes, folder: int = 0) -> Place | None:
        """Where a path leads; None outside of the root."""
        text = os.fsdecode(path)
        if text.startswith("/"):
            if not text.startswith(f"{self.root}/"):
                return None
            text, folder = text[len(str(self.root)) + 1 :], 0
        *above, name = text.rstrip("/").split("/")
        for one in above:
            folder = self.names[folder, one]
        return folder, name

    def _places(self, call: Call) -> list[Place]:
        """The places that a call names; empty where one lies elsewhere."""
        folders = [int(one) for one in re.findall(r"(?:^|, )(\d+)(?=, ,|, $)", call.words)]
        base = self.handles[folders[0]].inode if folders and folders[0] in self.handles else 0
        relative = all(not text.startswith(b"/") for text in call.texts)
        if relative and (not folders or folders[0] not in self.handles):
            return []
        found = [self._place(text, base) for text in call.texts]
        return [one for one in found if one is not None] if None not in found else []

    def apply(self, call: Call, *, half: bool = False) -> bool:
        """Do what a call did, of a write only the first half; whether that changed anything."""
        does = getattr(self, f"_{call.name}", None)
        assert does is not None, f"{call.name} is not known"
        if half and call.name in {"write", "writev", "pwrite64"}:
            data = b"".join(call.texts)
            call = replace(call, texts=(data[: len(data) // 2],))
        return bool(does(call))

    # --- names ---

    def _rename_to(self, changes: dict[Place, int | None]) -> bool:
        self.uncertain.append(changes)
        _put(self.names, changes)
        return True

    def _openat(self, call: Call) -> bool:
        path = call.texts[0]
        if path == os.fsencode(self.root):
            self.handles[call.result] = Opened(0, appends=False)
            return False
        folder = re.match(r"(\d+),", call.words)
        base = self.handles.get(int(folder[1])) if folder else None
        if not path.startswith(b"/") and base is None:
            return False
        place = self._place(path, base.inode if base else 0)
        if place is None:
            return False
        is_new = place not in self.names
        if is_new:
            self._rename_to({place: self._new(File())})
        inode = self.names[place]
        self.handles[call.result] = Opened(inode, appends="O_APPEND" in call.words)
        file = self.files[inode]
        if file is not None and "O_TRUNC" in call.words and file.now:
            self.files[inode] = replace(file, now=b"")
            return True
        return is_new

    def _mkdir(self, call: Call) -> bool:
        places = self._places(call)
        return bool(places) and self._rename_to({places[0]: self._new(None)})

    def _unlink(self, call: Call) -> bool:
        places = self._places(call)
        return bool(places) and self._rename_to({places[0]: None})

    def _rename(self, call: Call) -> bool:
        places = self._places(call)
        if not places:
            return False
        one, other = places
        back = self.names[other] if _EXCHANGE in call.words else None
        return self._rename_to({one: back, other: self.names[one]})

    _mkdirat, _unlinkat, _rmdir, _renameat, _renameat2 = _mkdir, _unlink, _unlink, _rename, _rename

    # --- bytes ---

    def _write(self, call: Call) -> bool:
        opened, data = self.handles.get(call.handle), b"".join(call.texts)
        if opened is None:
            return False
        file = self.files[opened.inode]
        assert file is not None
        at = len(file.now) if opened.appends else opened.offset
        if call.name == "pwrite64":
            at = call.last
        else:
            opened.offset = at + len(data)
        now = file.now.ljust(at, b"\0")
        self.files[opened.inode] = replace(file, now=now[:at] + data + now[at + len(data) :])
        return True

    _writev = _pwrite64 = _write

    def _lseek(self, call: Call) -> bool:
        if opened := self.handles.get(call.handle):
            opened.offset = call.result
        return False

    def _ftruncate(self, call: Call) -> bool:
        opened = self.handles.get(call.handle)
        file = self.files[opened.inode] if opened else None
        if opened is None or file is None:
            return False
        now = file.now[: call.last].ljust(call.last, b"\0")
        self.files[opened.inode] = replace(file, now=now)
        return True

    def _fsync(self, call: Call) -> bool:
        opened = self.handles.get(call.handle)
        if opened is None:
            return False
        file = self.files[opened.inode]
        if file is not None:
            self.files[opened.inode] = File(file.now, file.now)
            return True
        for changes in self.uncertain:
            here = {place: to for place, to in changes.items() if place[0] == opened.inode}
            if here:  # a rename is one change, wherever it leads
                _put(self.certain, changes)
        self.uncertain = [
            one for one in self.uncertain if all(place[0] != opened.inode for place in one)
        ]
        return True

    _fdatasync = _fsync

    def _close(self, call: Call) -> bool:
        self.handles.pop(call.handle, None)
        return False

    # --- what a crash leaves ---

    def tree(self) -> Tree:
        """What a reader sees now, and what a killed process leaves."""
        return self._tree(self.names, {})

    def without_power(self) -> Iterator[Tree]:
        """What the machine may find when it has power again."""
        torn = {inode: tuple(file.torn()) for inode, file in self.files.items() if file is not None}
        torn = {inode: ways for inode, ways in torn.items() if ways}
        for names in self._names_kept():
            yield self._tree(names, {})
            for way in range(3):
                yield self._tree(names, {inode: ways[way] for inode, ways in torn.items()})
        for inode, ways in torn.items():
            for data in ways:
                yield self._tree(self.names, {inode: data})

    def _names_kept(self) -> Iterator[dict[Place, int]]:
        many = len(self.uncertain)
        everything = range(many)
        kept: set[tuple[int, ...]] = {tuple(range(most)) for most in range(many + 1)}
        kept |= {(one,) for one in everything}
        kept |= {tuple(one for one in everything if one != lost) for lost in everything}
        for which in sorted(kept):
            names = dict(self.certain)
            for one in which:
                _put(names, self.uncertain[one])
            yield names

    def _tree(self, names: dict[Place, int], torn: dict[int, bytes]) -> Tree:
        below: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), inode in names.items():
            below.setdefault(folder, []).append((name, inode))
        found: Tree = {}
        todo = [("", 0)]
        while todo:
            path, folder = todo.pop()
            for name, inode in below.get(folder, ()):
                file = self.files[inode]
                found[f"{path}{name}"] = None if file is None else torn.get(inode, file.now)
                if file is None and len(found) < 10_000:
                    todo.append((f"{path}{name}/", inode))
        return found


def _put(names: dict[Place, int], changes: dict[Place, int | None]) -> None:
    for place, to in changes.items():
        if to is None:
            names.pop(place, None)
        else:
            names[place] = to


def crashes(root: Path, calls: Sequence[Call]) -> Iterator[tuple[int, Tree]]:
    """Every different tree that a crash can leave, with the number of calls made before it."""
    disk, seen = Disk(root), set[int]()
    for number, call in enumerate(calls, 1):
        half = disk.copy()
        trees = [half.tree()] if half.apply(call, half=True) else []
        if disk.apply(call):
            trees += [disk.tree(), *disk.without_power()]
        for tree in trees:
            key = hash(frozenset(tree.items()))
            if key not in seen:
                seen.add(key)
                yield number, tree
