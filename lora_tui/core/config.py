"""The user's own settings, `<home>/config.toml`: how one is told what happened."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.settings import Problem, SettingsError, build, knob, problems_in, unknown


@dataclass(frozen=True, slots=True)
class Notify:
    """How the user is told that a run ended, or that a GPU stands idle."""

    command: str = knob("", "a shell command; LORA_TUI_EVENT and others tell it what happened")
    bell: bool = knob(True, "ring the terminal's bell")
    desktop: bool = knob(True, "let the terminal show a notification (OSC 9 and OSC 777)")
    idle_minutes: int = knob(10, "tell after so many minutes without work on the GPU", low=0)


@dataclass(frozen=True, slots=True)
class Slurm:
    """What every run that is submitted to SLURM asks for."""

    options: str = knob("", "options for sbatch, before those of --sbatch")


@dataclass(frozen=True, slots=True)
class Config:
    """All of the file; what it does not say is as declared."""

    notify: Notify = Notify()
    slurm: Slurm = Slurm()


TABLES: dict[str, type] = {"notify": Notify, "slurm": Slurm}


def path() -> Path:
    """The file; it need not be there."""
    return locations.home() / "config.toml"


def load() -> Config:
    """The user's settings as they are now.

    Raises:
        SettingsError: the file cannot be read, is no TOML, or has problems; all of them.
    """
    try:
        document = tomllib.loads(path().read_text("utf-8"))
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError, RecursionError) as error:  # tomllib lets some of its own through
        raise SettingsError(f"{path()} cannot be read", [Problem("", str(error))]) from error
    if problems := _check(document):
        raise SettingsError(f"{path()} has problems", problems)
    return Config(**{name: build(TABLES[name], values) for name, values in document.items()})


def _check(document: dict[str, Any]) -> list[Problem]:
    found: list[Problem] = []
    for name, values in document.items():
        if name not in TABLES:
            found.append(Problem(name, unknown(name, TABLES)))
        elif not isinstance(values, dict):
            found.append(Problem(name, f"is a table: write [{name}] and its keys below"))
        else:
            found += problems_in(TABLES[name], values, name)
    return found
