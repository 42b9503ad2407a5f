"""Settings declared once: default, help and range stand with the field; all else is made of that.

The form, the validator, the writer, `--set` and the documentation all read `knobs_of`. A value is
checked against its declaration and never replaced by another.
"""

import difflib
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import Any

from lora_tui.core.errors import BadInput


@dataclass(frozen=True, slots=True)
class Limits:
    """What a field says about itself beside its type."""

    help: str
    low: float | None = None
    high: float | None = None
    above: float | None = None
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting as the front ends see it."""

    table: str
    name: str
    types: tuple[type, ...]
    default: Any
    limits: Limits

    @property
    def key(self) -> str:
        """`table.name`, as `--set` takes it; the name alone at the top of the file."""
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def range(self) -> str:
        """The allowed values in words: `1 to 1024`, `above 0`, `lora, full`, or nothing."""
        limits = self.limits
        if limits.choices:
            choices = ", ".join(in_words(choice) for choice in limits.choices)
            return f"a list, or {choices}" if tuple in self.types else choices
        low = f"above {_bound(limits.above)}" if limits.above is not None else None
        if limits.low is not None and limits.high is not None:
            return f"{_bound(limits.low)} to {_bound(limits.high)}"
        if limits.low is not None:
            low = f"at least {_bound(limits.low)}"
        if limits.high is not None:
            return f"{low + ', ' if low else ''}at most {_bound(limits.high)}"
        return low or ""


def _bound(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a settings file: which key, and what to do about it."""

    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.key}: {self.message}" if self.key else self.message


class SettingsError(BadInput):
    """A settings file with problems, all of them at once."""

    def __init__(self, where: str, problems: list[Problem]) -> None:
        """Keep the problems and list them, one a line, in the summary."""
        lines = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"{where}:\n{lines}", "Correct these and try again.")
        self.problems = problems


def knob(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: tuple[Any, ...] = (),
) -> Any:
    """Declare a dataclass field with its meaning and its allowed values."""
    limits = Limits(help, low, high, above, choices)
    return field(default=default, metadata={"limits": limits})


def knobs_of(section: type, table: str) -> Iterator[Knob]:
    """The settings a section declares, in their order."""
    hints = typing.get_type_hints(section)
    for item in fields(section):
        if limits := item.metadata.get("limits"):
            yield Knob(table, item.name, _types(hints[item.name]), _default(item), limits)


def _default(item: Field[Any]) -> Any:
    assert item.default is not MISSING, f"{item.name} needs a default"
    return item.default


def _types(hint: Any) -> tuple[type, ...]:
    """The plain types a hint allows: `int | str` is (int, str); `tuple[str, ...]` is (tuple,)."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(typing.get_origin(option) or option for option in options)


def problems_in(section: type, values: Mapping[str, Any], table: str) -> list[Problem]:
    """Everything wrong with `values` as the settings of `section`: unknown keys, types, ranges."""
    known = {item.name: item for item in knobs_of(section, table)}
    found = [
        Problem(key_of(table, name), unknown(name, known)) for name in values if name not in known
    ]
    for name, value in values.items():
        if (item := known.get(name)) and (message := wrong_with(item, value)):
            found.append(Problem(item.key, message))
    return found


def key_of(table: str, name: str) -> str:
    """`table.name`, or the name alone outside a table."""
    return f"{table}.{name}" if table else name


def unknown(name: str, known: Mapping[str, Any]) -> str:
    """The message for a name that does not exist, with the nearest that does."""
    last = name.rpartition(".")[2]
    near = [item for item in known if _initials(item) == last] or difflib.get_close_matches(
        name, known, n=1, cutoff=0.5
    )
    return f"unknown; did you mean {near[0]}?" if near else f"unknown; known are {', '.join(known)}"


def _initials(name: str) -> str:
    """How a long name is called for short: `lr` for training.learning_rate."""
    return "".join(word[:1] for word in name.rpartition(".")[2].split("_"))


def wrong_with(item: Knob, value: Any) -> str | None:
    """What is wrong with one value, or None."""
    limits = item.limits
    if not fits(value, item.types):
        return f"{_quote(value)} is not {_names(item.types)}"
    if (
        limits.choices
        and not isinstance(value, list | tuple)
        and not _is_choice(value, limits.choices)
    ):
        return f"{_quote(value)} is not {'one of ' if len(limits.choices) > 1 else ''}{item.range}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    if abs(value) > _HUGE:
        return f"is out of range{f': {item.range}' if item.range else ''}"
    too_low = limits.low is not None and value < limits.low
    too_high = limits.high is not None and value > limits.high
    if too_low or too_high or (limits.above is not None and value <= limits.above):
        return f"{value} is out of range: {item.range}"
    return None


def _is_choice(value: Any, choices: tuple[Any, ...]) -> bool:
    """Membership that keeps True apart from 1."""
    return any(type(value) is type(choice) and value == choice for choice in choices)


def fits(value: Any, allowed: tuple[type, ...]) -> bool:
    """Whether TOML's `value` may stand where `allowed` types are declared.

    TOML writes 0 for 0.0, so an integer passes for a float; a boolean never passes for a number.
    """
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, int):
        return int in allowed or float in allowed
    if isinstance(value, list | tuple):
        return tuple in allowed and all(isinstance(item, str) for item in value)
    return type(value) in allowed


def build(section: type, values: Mapping[str, Any]) -> Any:
    """An instance of `section` from checked values: lists become tuples, integers floats."""
    kinds = {item.name: item.types for item in knobs_of(section, "")}
    return section(**{name: _convert(value, kinds[name]) for name, value in values.items()})


def _convert(value: Any, allowed: tuple[type, ...]) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, int) and not isinstance(value, bool) and int not in allowed:
        return float(value)
    return value


def in_words(value: Any) -> str:
    """A value as TOML writes it, without the quotes around a single word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(value)
    return str(value)


def parse(item: Knob, text: str) -> Any:
    """The value a user typed for a setting, as `--set` and the form take it.

    A TOML value; where the setting is text, or a list of texts, the quotes may be left out.

    Raises:
        SettingsError: it is neither, or it is out of range.
    """
    text = text.strip()
    try:
        value = tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except (ValueError, RecursionError):  # also what tomllib lets through from deep or huge values
        value = text
    if tuple in item.types and not isinstance(value, list) and value not in item.limits.choices:
        value = [part.strip() for part in text.split(",") if part.strip()]
    elif str in item.types and not fits(value, item.types):
        value = text
    if message := wrong_with(item, value):
        raise SettingsError("This setting does not fit", [Problem(item.key, message)])
    return value


_HUGE = 10**18  # longer numbers cannot be meant, and libraries count in 64 bits

_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
}


def _names(allowed: tuple[type, ...]) -> str:
    shown = [kind for kind in allowed if not (kind is int and float in allowed)]
    return " or ".join(_NAMES[kind] for kind in shown)


def _quote(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else in_words(value) if value != [] else "[]"
