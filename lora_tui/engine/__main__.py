"""`python -m lora_tui.engine VERB DIRECTORY`: the only way into the engine."""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from lora_tui.engine import ranks

_YOUNG = 50_000
"""New objects between two looks for garbage: at Python's 700 those take a tenth of an export."""

VERBS = {
    "train": "train",
    "resume": "train",
    "data": "data_report",
    "check": "check",
    "compare": "compare",
    "chat": "chat",
    "merge": "merge",
    "export": "export",
    "quantise": "quantise",
    "llama-logits": "llama_logits",
    "llama-answers": "llama_answers",
}
"""Each verb's module."""


def main(arguments: Sequence[str]) -> int:
    """Do one verb in one directory.

    `train` begins at step 0, `resume` at the last complete checkpoint; `data` reports on the rows,
    `check` on everything else; `compare` measures several results; `chat` answers what it is asked
    on its standard input; `merge` writes adapters into their base, `export` GGUF files. The
    `llama-` verbs do an export's proof the service of llama.cpp: they are given one such file.
    """
    if len(arguments) != 2 or arguments[0] not in VERBS:
        print(f"usage: python -m lora_tui.engine {{{'|'.join(VERBS)}}} DIRECTORY", file=sys.stderr)
        return 2
    verb, folder = arguments
    if ranks.is_one_of_several():
        ranks.end_with_parent()
    module = import_module(f"lora_tui.engine.{VERBS[verb]}")
    options = {"resume": verb == "resume"} if VERBS[verb] == "train" else {}
    return int(module.main(Path(folder), **options))


def leave(code: int) -> NoReturn:
    """End this process without taking down torch's modules: 0.7 s in which a run looks alive.

    No thread is waited for: those of the engine are daemons, or over with their work.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    gc.set_threshold(_YOUNG)
    leave(main(sys.argv[1:]))
