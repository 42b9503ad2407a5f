"""Presets on disk: reading, writing, listing, and changing them by `TABLE.KEY=VALUE`."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import tomli_w

from lora_tui.core import locations, preset_check, presets
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.files import private_folder, slug, write_atomically
from lora_tui.core.locations import local_path
from lora_tui.core.presets import Preset
from lora_tui.core.settings import Problem, SettingsError, parse, unknown
from lora_tui.core.text import did_you_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """A preset file as lists show it: whole, or with the problems that keep it from being one."""

    name: str
    path: Path
    shipped: bool
    preset: Preset | None = None
    problems: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, path: Path, *, shipped: bool) -> Self:
        """Read one file; what is wrong with it becomes `problems`, never an exception."""
        try:
            return cls(path.stem, path, shipped, load(path))
        except SettingsError as error:
            return cls(path.stem, path, shipped, None, tuple(error.problems))
        except LoraTuiError as error:
            return cls(path.stem, path, shipped, None, (Problem("", error.summary),))

    def document(self) -> dict[str, Any]:
        """What `presets --json` says of it."""
        return {
            "name": self.name,
            "path": str(self.path),
            "shipped": self.shipped,
            "description": self.preset.description if self.preset else None,
            "problems": [{"key": one.key, "message": one.message} for one in self.problems],
        }


def load(path: Path) -> Preset:
    """The preset in `path`.

    Raises:
        SettingsError: it is no TOML, or has problems; all of them.
        LoraTuiError: it cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BadInput(
            f"There is no preset at {path}.", "`lora-tui presets` lists them."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise LoraTuiError(
            f"The preset {path} cannot be read: {error}.", "It has to be UTF-8 text."
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib lets some of its own through
        raise SettingsError(f"The preset {path} is not TOML", [Problem("", str(error))]) from error
    preset = checked(document, f"The preset {path} has problems")
    return preset if preset.name else changed(preset, {"name": path.stem})


def checked(document: dict[str, Any], where: str) -> Preset:
    """The preset of a document, or a SettingsError with all its problems."""
    if problems := preset_check.check(document):
        raise SettingsError(where, problems)
    return presets.from_document(document)


def dumps(preset: Preset) -> str:
    """The preset as TOML, every default written out."""
    return tomli_w.dumps(presets.to_document(preset))


def save(preset: Preset, name: str, *, path: Path | None = None) -> Path:
    """Write a user preset under `name`, whole or not at all, and return its path.

    `path` is the file to replace, whatever it is called; without one the name is the file's too.

    Raises:
        LoraTuiError: the disk did not take it; an older file of that name is untouched.
    """
    try:
        if path is None:
            name = slug(name)
            path = private_folder(locations.user_presets_folder()) / f"{name}.toml"
        write_atomically(path, dumps(changed(preset, {"name": name})))
    except OSError as error:
        raise LoraTuiError(
            f"The preset was not saved: {error}.", "Is there room on the disk?"
        ) from error
    return path


def list_presets() -> list[Entry]:
    """Shipped presets first, then the user's, by name; a broken one with its problems."""
    folders = ((locations.shipped_presets_folder(), True), (locations.user_presets_folder(), False))
    return [
        Entry.read(path, shipped=shipped)
        for folder, shipped in folders
        for path in sorted(folder.glob("*.toml"), key=lambda path: (path.stem != "demo", path.stem))
    ]


def find(reference: str) -> Preset:
    """The preset a command line names: a path, a user preset's name, or a shipped one's.

    Raises:
        LoraTuiError: there is none; the nearest name is suggested.
    """
    for folder in (locations.user_presets_folder(), locations.shipped_presets_folder()):
        path = folder / f"{reference}.toml"
        if reference == Path(reference).name and path.is_file():
            return load(path)
    if found := local_path(reference):
        return load(found)
    if reference.endswith(".toml"):
        raise BadInput(f"There is no preset at {reference}.", "`lora-tui presets` lists them.")
    names = [entry.name for entry in list_presets()]
    raise BadInput(
        f'There is no preset "{reference}"{did_you_mean(reference, names)}',
        "`lora-tui presets` lists them; a path to a .toml file works too.",
    )


def changed(preset: Preset, values: dict[str, Any]) -> Preset:
    """`preset` with other values, given as `{"lora.r": 8}`.

    Raises:
        SettingsError: the values do not fit, alone or together.
    """
    document = presets.to_document(preset)
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        (document[table] if table else document)[name] = value
    return checked(document, "These settings do not fit")


def with_settings(preset: Preset, assignments: Iterable[str]) -> Preset:
    """`preset` with `TABLE.KEY=VALUE` assignments, as `--set` gives them.

    Raises:
        SettingsError: all that is wrong with them.
    """
    known = {item.key: item for item in presets.all_knobs()}
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for assignment in assignments:
        key, sign, text = assignment.partition("=")
        key = key.strip()
        if not sign:
            problems.append(Problem(assignment, "write TABLE.KEY=VALUE, as in lora.r=8"))
        elif key not in known:
            problems.append(Problem(key, unknown_key(key, known)))
        else:
            try:
                values[key] = parse(known[key], text)
            except SettingsError as error:
                problems += error.problems
    if problems:
        raise SettingsError("These settings do not fit", problems)
    return changed(preset, values)


def unknown_key(key: str, known: dict[str, Any]) -> str:
    """The message for a key that does not exist: a bare name is matched against every table's."""
    by_name = [full for full in known if full.partition(".")[2] == key]
    return (
        f"unknown; did you mean {by_name[0]}?"
        if by_name
        else unknown(key, known).partition("; known are")[0]
    )
