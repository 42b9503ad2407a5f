"""llama.cpp's converter and quantiser: where they are, if anywhere."""

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from lora_tui.core.errors import LoraTuiError

_CONVERTER = "convert_hf_to_gguf.py"
_QUANTISER = "llama-quantize"


def find() -> str:
    """Where both are: a folder the user set, Unsloth's llama.cpp, PATH, or installed packages.

    Raises:
        LoraTuiError: they are nowhere.
    """
    chosen = os.environ.get("LORA_TUI_LLAMA_CPP") or os.environ.get("UNSLOTH_LLAMA_CPP_PATH")
    folders = [Path(chosen).expanduser()] if chosen else []
    folders.append(Path.home() / ".unsloth" / "llama.cpp")
    for folder in folders:
        if (folder / _CONVERTER).is_file() and _quantiser_in(folder):
            return str(folder)
    on_path = [shutil.which(name) for name in (_CONVERTER, _QUANTISER)]
    if all(on_path):
        return str(Path(str(on_path[0])).parent)
    if find_spec("gguf") and find_spec("cyllama"):
        return "installed packages"
    raise LoraTuiError(
        "llama.cpp's converter and quantiser are not on this machine.",
        "Set LORA_TUI_LLAMA_CPP to a llama.cpp folder that is built; training works without.",
    )


def _quantiser_in(folder: Path) -> bool:
    places = (folder / _QUANTISER, folder / "build" / "bin" / _QUANTISER)
    return any(place.is_file() for place in places)
