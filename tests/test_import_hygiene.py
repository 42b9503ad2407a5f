"""What each module really loads, seen from a fresh interpreter; import-linter sees the rest."""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lora_tui

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


@pytest.fixture
def loaded_by(fresh_python: Callable[[str], str]) -> Callable[[str], set[str]]:
    """The packages that importing a module loads."""

    def loaded(module: str) -> set[str]:
        code = f"import sys, json, {module}; print(json.dumps(list(sys.modules)))"
        return {name.partition(".")[0] for name in json.loads(fresh_python(code))}

    return loaded


@pytest.mark.parametrize("module", modules_of("cli", "core", "jobs"))
def test_below_the_screen_nothing_big_is_loaded(
    module: str, loaded_by: Callable[[str], set[str]]
) -> None:
    assert not loaded_by(module) & (HEAVY | {"textual", "rich", "plotext"})


@pytest.mark.parametrize("module", modules_of("tui"))
def test_the_screen_never_loads_torch(module: str, loaded_by: Callable[[str], set[str]]) -> None:
    assert not loaded_by(module) & HEAVY


def test_the_app_starts_without_the_chart_library(loaded_by: Callable[[str], set[str]]) -> None:
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
