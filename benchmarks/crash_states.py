"""Every state that a crash, or a call that fails, can leave of what the program saves.

    python -m benchmarks.crash_states [--only preset,checkpoint] [--out FILE]

The real code saves under strace (which has to be there). Then, for each thing that is saved:

- `crashes`: from every prefix of its system calls, each state that benchmarks/disk.py knows is laid
  on a disk and read by the real readers: they have to see what was there before, or what was saved.
- `failures`: the n-th call of each kind fails with ENOSPC, EIO and EACCES, for n = 1, 2, ... until
  nothing fails any more: the same, and saving again works.

It ends with exit code 1 if any state was a third one.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import crash_cases
from benchmarks.disk import Disk, Tree, crashes
from benchmarks.strace import CHANGING, recorded, traced
from benchmarks.tables import SURVIVAL, Line, section
from lora_tui.core.errors import LoraTuiError
from lora_tui.engine import failures

ERRORS = ("ENOSPC", "EIO", "EACCES")
FAILING = (
    *("openat", "write", "writev", "pwrite64", "lseek", "ftruncate", "fsync", "fdatasync", "close"),
    *("rename", "renameat", "renameat2", "mkdir", "rmdir", "unlink", "unlinkat", "fcntl", "flock"),
    *("read", "pread64", "newfstatat", "fstat", "getdents64"),
)
SAVED, NAMED, UNNAMED = 0, 10, 11


@dataclass(slots=True)
class Count:
    """What became of the states of one thing."""

    states: int = 0
    third: int = 0
    unnamed: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(crash_cases.CASES))
    parser.add_argument("--parts", default="crashes,failures")
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    asked = parser.parse_args()
    third = 0
    with section(asked.out, "crash states", "benchmarks.crash_states") as lines:
        for name in asked.only.split(","):
            with tempfile.TemporaryDirectory(dir=_memory()) as folder:
                bench = Bench(Path(folder).resolve(), name)
                for part in asked.parts.split(","):
                    began = time.perf_counter()
                    count = bench.crashes() if part == "crashes" else bench.failures()
                    third += count.third
                    said = f"{name}: {count} in {time.perf_counter() - began:.0f} s"
                    print(said, file=sys.stderr, flush=True)
                    what = "crashes" if part == "crashes" else "calls that fail"
                    lines += [
                        Line(f"{name}: {what}", [count.states], "states"),
                        Line("… neither old nor new", [count.third], "states", "0"),
                    ]
                    if part == "failures":
                        lines.append(
                            Line("… without a named cause", [count.unnamed], "states", "0")
                        )
    raise SystemExit(1 if third else 0)


def _memory() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class Bench:
    """One thing that is saved, in a home of its own, again and again."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self.home, self.before, self.other = folder / "home", folder / "before", folder / "other"
        self.log = folder / "strace.log"
        os.environ["LORA_TUI_HOME"] = str(self.home)
        self.home.mkdir()
        self.case = crash_cases.CASES[name]()
        shutil.copytree(self.home, self.before)
        self.old = self.seen(self.home)
        self.case.save()  # loads whatever it needs
        self.new = self.seen(self.home)
        assert self.old != self.new, self.old

    def seen(self, home: Path) -> Any:
        os.environ["LORA_TUI_HOME"] = str(home)
        try:
            return self.case.seen()
        finally:
            os.environ["LORA_TUI_HOME"] = str(self.home)

    def reset(self) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.before, self.home)

    def traced(self, *options: str) -> int:
        """Save while strace watches; what came of it."""
        return traced(lambda: _outcome(self.case.save), self.log, *options)

    def crashes(self) -> Count:
        self.reset()
        code = self.traced("-xx", "-s", str(1 << 26), "-e", f"trace={','.join(CHANGING)}")
        assert code == SAVED, code
        calls = recorded(self.log)
        after = Disk(self.home).tree()
        self.reset()
        disk = Disk(self.home)
        for call in calls:
            disk.apply(call)
        assert disk.tree() == after, "the record does not tell all that was done"
        count = Count()
        for number, tree in crashes(self.home, calls):
            allowed = [self.old, self.new]
            _lay(tree, self.other)
            self.judge(count, allowed, self.other, f"call {number}: {calls[number - 1].name}")
        if self.case.is_durable:
            for tree in disk.without_power():
                _lay(tree, self.other)
                self.judge(count, [self.new], self.other, "after the end")
        return count

    def judge(self, count: Count, allowed: list[Any], home: Path, where: str) -> None:
        count.states += 1
        try:
            found = self.seen(home)
        except Exception as error:  # any is a third state
            found = repr(error)
        if found not in allowed:
            count.third += 1
            if count.third <= 5:
                print(f"{self.name}, {where}: {found!r:.600}", file=sys.stderr, flush=True)

    def failures(self) -> Count:
        count = Count()
        for call in FAILING:
            number = 0
            while self.fails(count, call, number := number + 1):
                pass
        return count

    def fails(self, count: Count, call: str, number: int) -> bool:
        """Let the n-th call fail with each error; whether there was such a call."""
        for error in ERRORS:
            self.reset()
            inject = f"inject={call}:error={error}:when={number}"
            code = self.traced("-e", f"trace={call}", "-e", inject)
            if "(INJECTED)" not in self.log.read_text("utf-8", "replace"):
                return False
            where = f"{call} {number} fails with {error}, exit code {code}"
            count.unnamed += code not in {SAVED, NAMED}
            if code not in {SAVED, NAMED} and count.unnamed <= 5:
                print(f"{self.name}, {where}: {self.log.read_text()[-300:]}", file=sys.stderr)
            allowed = [self.new] if code == SAVED else [self.old, self.new]
            self.judge(count, allowed, self.home, where)
            _outcome(self.case.save)
            self.judge(count, [self.new], self.home, f"{where}, and again")
            count.states -= 1  # the same state
        return True


def _outcome(save: Callable[[], object]) -> int:
    try:
        save()
    except LoraTuiError:
        return NAMED
    except BaseException as error:
        _, hint = failures.explain(error)
        if "not a failure lora-tui knows" in hint:
            print(repr(error), file=sys.stderr, flush=True)
            return UNNAMED
        return NAMED
    return SAVED


def _lay(tree: Tree, home: Path) -> None:
    """Make a folder what a tree says."""
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    for name, data in tree.items():  # folders come before what is in them
        if data is None:
            (home / name).mkdir()
        else:
            (home / name).write_bytes(data)


if __name__ == "__main__":
    main()
