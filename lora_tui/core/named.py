"""What a preset names, its model and its rows: here, for the Hub to give, or nowhere."""

from collections.abc import Iterator
from pathlib import Path

from lora_tui.core import locations
from lora_tui.core.parameters import model_folder
from lora_tui.core.presets import Preset, is_demo
from lora_tui.core.settings import Problem

_MODEL, _DATA = "model.name_or_path", "data.source"


def missing_here(preset: Preset) -> list[str]:
    """What is not on this machine and the Hub has to give, in words: `the model a/b`."""
    found = []
    for key, name in _elsewhere(preset):
        if not _is_hub_id(key, name):
            continue
        if key == _DATA and not _is_cached(name):
            found.append(f"the data {name}")
        elif key == _MODEL and model_folder(name, preset.model.revision) is None:
            found.append(f"the model {name}")
    return found


def lost(preset: Preset) -> list[Problem]:
    """The files and folders that do not exist, under names that cannot be the Hub's, by key.

    A file under the name of a model is none, either.
    """
    gone: dict[str, list[str]] = {}
    for key, name in _elsewhere(preset):
        if not _is_hub_id(key, name):
            where = "" if name.startswith(("/", "~")) else f" in {_here()}"
            gone.setdefault(key, []).append(f'"{name}"{where}')
    found = [Problem(key, f"there is no {' and no '.join(names)}") for key, names in gone.items()]
    model = preset.model.name_or_path
    path = None if is_demo(model) else locations.local_path(model)
    if path is not None and not path.is_dir():
        found.insert(0, Problem(_MODEL, f'"{model}" is a file, and a model is a folder'))
    return found


def _here() -> str:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return "this folder"


def _elsewhere(preset: Preset) -> Iterator[tuple[str, str]]:
    """Keys and names of what is neither built in nor here."""
    named = [(_MODEL, preset.model.name_or_path), *((_DATA, one) for one in preset.data.sources)]
    for key, name in named:
        if not is_demo(name) and locations.local_path(name) is None:
            yield key, name


def _is_hub_id(key: str, name: str) -> bool:
    """Whether it can be the Hub's; data may name a configuration: `owner/name:main`."""
    return locations.is_hub_id(name.partition(":")[0] if key == _DATA else name)


def _is_cached(source: str) -> bool:
    folder = f"datasets--{source.partition(':')[0].replace('/', '--')}"
    return (locations.hub_cache() / folder / "snapshots").is_dir()
