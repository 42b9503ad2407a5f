"""llama.cpp in a process of its own: asked and answering line by line, and free to break off.

It writes to the standard streams and may abort the process it is in. The parent is told so by name;
a parent that ends, whatever ends it, ends the child at its next line.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.hardware import usable_cores

Reply = tuple[Mapping[str, Any], Iterable[bytes]]
"""What a request is answered: a line of JSON, and bytes behind it."""

_PYTHON, _FAILED = 1, 3
"""What a child exits with where it never began to serve, and where it had to leave off."""

_UNKNOWN_KIND = "unknown model architecture"
"""What llama.cpp says of a kind of model that is newer than it is: a whole file fails so too."""


class Broken(LoraTuiError):
    """llama.cpp cannot do what every whole file allows: the file is at fault."""


class Llama:
    """A child process with one GGUF file; leaving it ends the process."""

    def __init__(self, verb: str, file: Path) -> None:
        """Start `python -m lora_tui.engine VERB FILE`."""
        self._child = subprocess.Popen(
            [sys.executable, "-m", "lora_tui.engine", verb, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        """The child itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill the child: it holds nothing that could be lost."""
        self._child.kill()
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what it was still to be told
                    continue

    def ask(self, **request: Any) -> dict[str, Any]:
        """Its answer to one request.

        Raises:
            Broken: it refuses, or is gone.
            LoraTuiError: its library is missing or older than the model's kind, or it was killed.
        """
        assert self._child.stdin is not None and self._child.stdout is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
            line = self._child.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line.endswith(b"\n"):
            raise self._gone()
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            said = f"llama.cpp says: {reply['error'].strip().rstrip('.')}."
            if _UNKNOWN_KIND in said:
                raise LoraTuiError(said, "Try the file with the llama.cpp that is to run it.")
            raise Broken(said, "")
        return reply

    def bytes(self, size: int) -> bytearray:
        """What follows an answer.

        Raises:
            Broken: it is gone.
        """
        assert self._child.stdout is not None
        found = bytearray(size)
        view, at = memoryview(found), 0
        while at < size:
            got = self._child.stdout.readinto(view[at:])  # type: ignore[attr-defined]
            if not got:
                raise self._gone()
            at += got
        return found

    def _gone(self) -> LoraTuiError:
        code = self._child.wait()
        if code == _PYTHON:
            return LoraTuiError(
                "The Python package of llama.cpp cannot be used here.",
                "Run `make setup` again; engine.log has the reason.",
            )
        if code == -signal.SIGKILL:
            return LoraTuiError(
                "llama.cpp was killed while it worked on the file: memory ran out, most likely.",
                "Free some memory, or prove a smaller type.",
            )
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        return Broken(f"llama.cpp broke off while it worked on the file ({how}).", "")


def serve(answer: Callable[[dict[str, Any]], Reply]) -> NoReturn:
    """In the child: answer requests until standard input ends, then leave.

    Standard output is for answers alone: whatever else is printed goes where errors do. It leaves
    without taking anything down: there llama.cpp's libraries crash, or wait for each other for
    good, which would outlive a parent that was killed.
    """
    code = _FAILED
    try:
        out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        for line in sys.stdin.buffer:
            try:
                reply, data = answer(json.loads(line))
            except Exception as error:  # whatever the library raises is its answer
                reply, data = {"error": str(error) or type(error).__name__}, ()
            out.write(json.dumps(reply).encode() + b"\n")
            for part in data:
                out.write(part)
            out.flush()
        code = 0
    except Exception:  # the parent is gone, or llama.cpp failed where only bytes are due
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def threads() -> int:
    """On how many threads to compute: as many as the engine that started it."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return int(told) if told else usable_cores()
