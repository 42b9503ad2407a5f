"""llama.cpp's quantiser, in a process of its own, and what it made read back."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from lora_tui.core import gguf, hardware
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.export_tools import Tools
from lora_tui.core.files import private_folder
from lora_tui.core.gguf import Head
from lora_tui.core.quantisation import Quant

_PLACE = re.compile(r"\[ *(\d+)/ *(\d+)\]")
_WHY = "failed to quantize: "
_LITTLE = 1 << 20


def quantise(
    tools: Tools,
    source: Path,
    target: Path,
    quant: Quant,
    *,
    matrix: Path | None,
    folder: Path,
    on_share: Callable[[float], object],
) -> Head:
    """Make `target` from the GGUF file `source`, and read it back.

    Args:
        tools: Which quantiser.
        source: In f32, f16 or bf16.
        target: What is written.
        quant: The type.
        matrix: An importance matrix (`importance.write`), where one is used.
        folder: Where the process finds what to do.
        on_share: Told how far it is, from 0 to 1.

    Returns:
        What the file says of itself.

    Raises:
        LoraTuiError: it was not made, or is not whole.
    """
    command = [*_command(tools, source, target, quant, matrix)]
    request = {
        "command": command,
        "source": str(source),
        "target": str(target),
        "number": quant.number,
        "matrix": str(matrix) if matrix else "",
        "threads": hardware.usable_cores(),
    }
    (private_folder(folder) / "request.json").write_text(json.dumps(request), "utf-8")
    engine = subprocess.Popen(
        [sys.executable, "-m", "lora_tui.engine", "quantise", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    last = ""
    try:
        assert engine.stdout is not None
        for line in engine.stdout:
            print(line, end="", file=sys.stderr)
            if found := _PLACE.match(line):
                on_share(int(found[1]) / int(found[2]))
            elif line.strip() and _WHY not in last:
                last = line.strip()
        code = engine.wait()
    finally:
        engine.kill()
        engine.wait()
        if engine.stdout is not None:
            engine.stdout.close()
        shutil.rmtree(folder, ignore_errors=True)
    if code:
        raise _failure(quant, target, last.rpartition(_WHY)[2] or f"it ended with {code}")
    return read_back(target, source, quant)


def _command(
    tools: Tools, source: Path, target: Path, quant: Quant, matrix: Path | None
) -> Iterator[str]:
    """How a llama.cpp that is built is called; nothing where the package does it."""
    if tools.quantiser is None:
        return
    yield str(tools.quantiser)
    if matrix is not None:
        yield from ("--imatrix", str(matrix))
    yield from (str(source), str(target), quant.name.upper(), str(hardware.usable_cores()))


def read_back(target: Path, source: Path, quant: Quant) -> Head:
    """What a file says of itself, if it is whole: llama.cpp has called a cut one a success.

    Raises:
        LoraTuiError: something is missing, or it is of another type.
    """
    try:
        head = gguf.read_head(target)
    except LoraTuiError as error:
        raise _failure(quant, target, error.summary) from error
    expected = {entry.name for entry in gguf.read_head(source).tensors}
    if missing := expected - {entry.name for entry in head.tensors}:
        raise _failure(quant, target, f"{len(missing)} tensors are missing ({min(missing)})")
    if head.settings.get("general.file_type") != quant.number:
        kind = head.settings.get("general.file_type")
        raise _failure(quant, target, f"it is of the type {kind}, not {quant.number}")
    return head


def _failure(quant: Quant, target: Path, why: str) -> LoraTuiError:
    if hardware.free_disk(target.parent) < _LITTLE or "iostream error" in why:
        return disk_full(target.parent)
    return LoraTuiError(
        f"llama.cpp did not make {quant.name}: {why.rstrip('.!')}.",
        "engine.log in the export's folder has what it said.",
    )


def disk_full(folder: Path) -> LoraTuiError:
    """What to say when there is no room left."""
    return LoraTuiError(
        f"The disk of {folder} is full.",
        "Free some room, or name a folder on a larger disk (--out), and export again: what was "
        "made and proven before is kept.",
    )
