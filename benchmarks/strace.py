"""System calls as strace sees them: recorded, or made to fail."""

import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHANGING = (
    *("openat", "write", "writev", "pwrite64", "lseek", "ftruncate", "fsync", "fdatasync"),
    *("close", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "unlink"),
    *("unlinkat", "link", "linkat", "symlink", "truncate", "copy_file_range", "sendfile", "dup"),
)
"""The calls to be recorded; of the last ones none may happen."""

_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that worked."""

    name: str
    words: str
    texts: tuple[bytes, ...]
    result: int

    @property
    def handle(self) -> int:
        """The first argument."""
        return int(self.words.partition(",")[0])

    @property
    def last(self) -> int:
        """The last argument."""
        return int(self.words.rpartition(",")[2])


def recorded(log: Path) -> list[Call]:
    """What `strace -xx -o LOG` wrote of the calls in CHANGING."""
    calls = []
    for line in log.read_text("ascii").splitlines():
        assert "unfinished" not in line, "two threads write"
        if (match := _CALL.match(line)) and int(match[3]) >= 0:
            texts = tuple(bytes.fromhex(one.replace("\\x", "")) for one in _TEXT.findall(match[2]))
            calls.append(Call(match[1], _TEXT.sub("", match[2]), texts, int(match[3])))
    return calls


def traced(save: Callable[[], int], log: Path, *options: str) -> int:
    """Save in a child that strace watches; the child's exit code, which `save` returns."""
    chance = random.getstate()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    child = os.fork()
    if child == 0:
        random.setstate(chance)  # which a fork makes anew, and a checkpoint holds
        signal.sigwait({signal.SIGUSR1})  # no file call, which would count as the first
        os._exit(save())
    strace = subprocess.Popen(
        ["strace", "-f", "-p", str(child), "-o", str(log), *options],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert strace.stderr is not None
    said = strace.stderr.readline()
    assert "attached" in said, said
    os.kill(child, signal.SIGUSR1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    strace.communicate()
    return code
