"""What this machine has for the work: asked without importing torch, in a few seconds."""

import importlib.metadata
import locale
import os
import platform
import subprocess
from collections.abc import Iterator

from lora_tui.core import config, export_tools, hardware, hub, locations, text
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.items import Item
from lora_tui.jobs import logout

_PROVERS = ("cyllama", "xllamacpp")
_NEEDED = ("torch", "transformers", "peft", "trl", "datasets")


def examine() -> Iterator[Item]:
    """Look at the machine, one item after another; the Hub comes last, since it may be slow."""
    torch = _version("torch")
    gpu = _gpu(torch)
    yield Item(
        "python",
        "green",
        f"{platform.python_version()} on {platform.system()} {platform.machine()}",
    )
    yield gpu
    yield _libraries()
    yield _unsloth()
    yield _export()
    yield _disk()
    yield _terminal()
    yield _notifications()
    if found := logout.look():
        yield found
    yield _hub()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def gpus() -> list[dict[str, str]]:
    """Each NVIDIA GPU's name, memory used and in all (MiB), load (%) and generation."""
    fields = ("name", "memory.used", "memory.total", "utilization.gpu", "compute_cap")
    try:
        asked = subprocess.run(
            ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    rows = (line.split(", ") for line in asked.stdout.splitlines())
    return [dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields)]


def _gpu(torch: str | None) -> Item:
    found = gpus()
    if not found:
        return Item(
            "gpu",
            "yellow",
            f"no NVIDIA GPU; {os.cpu_count()} CPU cores",
            "The demo and small models train on the CPU; rent a GPU for more.",
        )
    names = ", ".join(f"{one['name']} {one['memory.total']} MiB" for one in found)
    if torch and torch.endswith("+cpu"):
        return Item(
            "gpu", "red", f"{names}, but torch {torch} cannot use it", "TORCH=cuda make run"
        )
    return Item("gpu", "green", names)


def _libraries() -> Item:
    versions = {name: _version(name) for name in _NEEDED}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Item(
            "libraries",
            "red",
            f"missing: {', '.join(missing)}",
            "make run, or pip install lora-tui",
        )
    return Item(
        "libraries", "green", ", ".join(f"{name} {version}" for name, version in versions.items())
    )


def _unsloth() -> Item:
    if version := _version("unsloth"):
        return Item("unsloth", "green", version)
    return Item("unsloth", "yellow", "not installed; transformers is used", "make run installs it")


def _export() -> Item:
    try:
        tools = export_tools.find()
    except LoraTuiError as error:
        return Item("export tools", "yellow", error.summary, error.hint)
    unproven = [name for name in _PROVERS if _version(name) is None]
    if unproven:
        detail = f"{tools.label}; files cannot be proven without {' and '.join(unproven)}"
        return Item("export tools", "yellow", detail, f"pip install {' '.join(unproven)}")
    return Item("export tools", "green", f"llama.cpp's converter and quantiser: {tools.label}")


def _disk() -> Item:
    folder = locations.home()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = hardware.free_disk(folder)
    detail = f"{text.size(free)} free for {folder}"
    if not os.access(existing, os.W_OK):
        return Item(
            "disk", "red", f"{existing} is not writable", "Set LORA_TUI_HOME to a folder that is."
        )
    if free < hardware.LITTLE_DISK:
        return Item("disk", "yellow", detail, "Delete old runs: lora-tui delete RUN")
    return Item("disk", "green", detail)


def _terminal() -> Item:
    term = os.environ.get("TERM", "")
    detail = f"TERM={term or '(unset)'}, {locale.getencoding()}"
    if "utf" not in locale.getencoding().lower():
        return Item(
            "terminal", "yellow", detail, "Charts are drawn in ASCII; set LANG=C.UTF-8 for more."
        )
    return Item("terminal", "green", detail)


def _notifications() -> Item:
    try:
        how = config.load().notify
    except LoraTuiError as error:
        return Item("notify", "yellow", error.summary, error.hint)
    ways = {"bell": how.bell, "desktop": how.desktop, f"command: {how.command}": how.command}
    named = ", ".join(name for name, is_on in ways.items() if is_on)
    return Item("notify", "green", named or "off: the app alone tells what happened")


def _hub() -> Item:
    name, _ = hub.host()
    if hub.answers():
        return Item("hub", "green", f"{name} answers")
    off = hub.is_switched_off()
    return Item(
        "hub",
        "yellow",
        "switched off by HF_HUB_OFFLINE" if off else f"{name} cannot be reached from here",
        "The demo, local models and data still work.",
    )
