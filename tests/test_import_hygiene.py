"""What each module really loads, seen from a fresh interpreter; import-linter sees the rest."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import lora_tui

pytestmark = pytest.mark.xdist_group("imports")  # each worker would look by itself

PACKAGE = Path(lora_tui.__file__).parent
HEAVY = {
    *("accelerate", "datasets", "gguf", "huggingface_hub", "numpy", "pandas", "peft", "pyarrow"),
    *("tokenizers", "torch", "transformers", "trl", "unsloth", "unsloth_zoo"),
}


def modules_of(*parts: str) -> list[str]:
    """The dotted names of all modules in these folders, or files, of the package."""
    files: list[Path] = []
    for part in parts:
        found = PACKAGE / part
        files += sorted(found.rglob("*.py")) if found.is_dir() else [found.with_suffix(".py")]
    names = (".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in files)
    return [name.removesuffix(".__init__") for name in names]


BELOW, SCREEN = modules_of("cli", "core", "jobs"), modules_of("tui")

EACH = """
import json, os, sys
from importlib import import_module
import_module(sys.argv[1])
for module in sys.argv[2:]:
    if not os.fork():
        import_module(module)
        print(json.dumps([module, list(sys.modules)]), flush=True)
        os._exit(0)
    os.wait()
"""


@cache
def each(first: str, *modules: str) -> tuple[dict[str, list[str]], str]:
    """What stands loaded after each module alone, and what was said of those that do not load.

    Each is loaded by a fork of a process that has only `first` before: an interpreter of its own
    takes longer to begin than most take to load.
    """
    command = [sys.executable, "-c", EACH, first, *modules]
    done = subprocess.run(command, capture_output=True, text=True)
    return dict(map(json.loads, done.stdout.splitlines())), done.stderr


def loaded_by(module: str) -> set[str]:
    """The packages that importing a module loads."""
    loaded, said = each("textual.app", *SCREEN) if module in SCREEN else each("json", *BELOW)
    assert module in loaded, said
    return {name.partition(".")[0] for name in loaded[module]}


@pytest.mark.parametrize("module", BELOW)
def test_below_the_screen_nothing_big_is_loaded(module: str) -> None:
    assert not loaded_by(module) & (HEAVY | {"textual", "rich", "plotext"})


@pytest.mark.parametrize("module", SCREEN)
def test_the_screen_never_loads_torch(module: str) -> None:
    assert not loaded_by(module) & HEAVY


def test_the_app_starts_without_the_chart_library() -> None:
    assert "plotext" not in loaded_by("lora_tui.tui.app")


def imports_in(folder: str) -> Iterator[tuple[str, str]]:
    """Every import in a folder, inside functions too, as (file, dotted name)."""
    for file in sorted((PACKAGE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                yield from ((file.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{file.name}: imports are absolute here"
                yield from ((file.name, f"{node.module}.{alias.name}") for alias in node.names)


@pytest.mark.parametrize(
    ("folder", "allowed"),
    [
        ("core", ("lora_tui.core", "tomli_w")),
        ("jobs", ("lora_tui.core", "lora_tui.jobs")),
    ],
)
def test_the_lower_layers_need_only_the_standard_library(
    folder: str, allowed: tuple[str, ...]
) -> None:
    strange = [
        (file, name)
        for file, name in imports_in(folder)
        if name.partition(".")[0] not in sys.stdlib_module_names
        and name != "lora_tui"
        and not f"{name}.".startswith(tuple(f"{prefix}." for prefix in allowed))
    ]
    assert not strange


@pytest.mark.parametrize("folder", modules_of("."))
def test_package_roots_are_empty(folder: str) -> None:
    file = PACKAGE.parent.joinpath(*folder.split("."), "__init__.py")
    if file.exists():
        assert not ast.parse(file.read_text()).body
