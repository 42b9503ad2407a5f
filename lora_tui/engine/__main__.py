"""`python -m lora_tui.engine VERB DIRECTORY`: the only way into the engine."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

VERBS = ("train", "resume", "data", "check")


def main(arguments: Sequence[str]) -> int:
    """Do one verb in one directory.

    `train` begins at step 0, `resume` at the last complete checkpoint; `data` reports on the rows,
    `check` on everything else.
    """
    if len(arguments) != 2 or arguments[0] not in VERBS:
        print(f"usage: python -m lora_tui.engine {{{'|'.join(VERBS)}}} DIRECTORY", file=sys.stderr)
        return 2
    verb, folder = arguments
    if verb in {"data", "check"}:
        name = {"data": "data_report", "check": "check"}[verb]
        return int(import_module(f"lora_tui.engine.{name}").main(Path(folder)))
    from lora_tui.engine import train

    return train.main(Path(folder), resume=verb == "resume")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
