"""Where things live. Pure functions: nothing is created by asking."""

import hashlib
import os
import platform
import re
from pathlib import Path

import lora_tui
from lora_tui.core import files

PACKAGE = Path(lora_tui.__file__).parent


def home() -> Path:
    """The user's lora-tui folder: `$LORA_TUI_HOME`, else `$XDG_DATA_HOME/lora-tui`."""
    if chosen := os.environ.get("LORA_TUI_HOME"):
        return Path(chosen).expanduser().absolute()
    data_home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data_home).expanduser().absolute() / "lora-tui"


def machine() -> str:
    """This machine's name as a folder's; two long names that begin alike stay apart."""
    name = platform.node()
    short = files.slug(name)
    if short == name.lower():
        return short
    return f"{short[:40]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def runs_folder() -> Path:
    """One folder a run, named by its id."""
    return home() / "runs"


def reports_folder() -> Path:
    """Data reports and checks, one folder each: what is asked before a run."""
    return home() / "reports"


def comparisons_folder() -> Path:
    """Comparisons, one folder each: kept until they are deleted."""
    return home() / "comparisons"


def merges_folder() -> Path:
    """Merges, one folder each: kept until they are deleted."""
    return home() / "merges"


def sweeps_folder() -> Path:
    """Sweeps, one folder each: which runs belong together; the runs lie among the others."""
    return home() / "sweeps"


def exports_folder() -> Path:
    """GGUF files of models that no run or merge of this program made, a folder for each."""
    return home() / "exports"


def jobs_folder(kind: str) -> Path:
    """Where the folders of one kind of job lie."""
    own = {"train": runs_folder, "compare": comparisons_folder, "merge": merges_folder}
    return own.get(kind, reports_folder)()


def user_presets_folder() -> Path:
    """The user's own presets."""
    return home() / "presets"


def shipped_presets_folder() -> Path:
    """The presets that come with the program: in the wheel inside the package, else beside it."""
    packaged = PACKAGE / "presets"
    return packaged if packaged.is_dir() else PACKAGE.parent / "presets"


def assets_folder() -> Path:
    """The demo model and its data sets."""
    return PACKAGE / "assets"


def hub_cache() -> Path:
    """The Hub's models and data: $HF_HUB_CACHE, $HF_HOME/hub, or in the user's cache."""
    if chosen := os.environ.get("HF_HUB_CACHE"):
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("HF_HOME") or Path(cache) / "huggingface").expanduser() / "hub"


def local_path(text: str) -> Path | None:
    """The file or folder a user's text names, if it is there."""
    try:
        path = Path(text).expanduser()
        return path.absolute() if text.strip() and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a NUL in it
        return None


def is_hub_id(text: str) -> bool:
    """Whether a text can only be the Hub's: `name` or `owner/name`, and no name of a data file."""
    return bool(_HUB_ID.fullmatch(text)) and not text.endswith(_DATA_SUFFIXES)


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_DATA_SUFFIXES = (
    *(".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt", ".md"),
    ".gz",
)
