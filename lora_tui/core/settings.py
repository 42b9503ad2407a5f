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
    listed: type = str
    """What the items of a list are, where a list is allowed."""

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
            hint = hints[item.name]
            yield Knob(table, item.name, _types(hint), _default(item), limits, _listed(hint))


def _default(item: Field[Any]) -> Any:
    assert item.default is not MISSING, f"{item.name} needs a default"
    return item.default


def _types(hint: Any) -> tuple[type, ...]:
    """The plain types a hint allows: `int | str` is (int, str); `tuple[str, ...]` is (tuple,)."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    return tuple(typing.get_origin(option) or option for option in options)


def _listed(hint: Any) -> type:
    """What a hint's list holds: `str | tuple[float, ...]` is float."""
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    lists = (typing.get_args(item) for item in options if typing.get_origin(item) is tuple)
    return next((items[0] for items in lists), str)


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
    if not fits(value, item):
        return f"{_quote(value)} is not {_names(item)}"
    if isinstance(value, list | tuple):
        numbers = (_wrong_with_number(item, number) for number in value if item.listed is not str)
        return next((message for message in numbers if message), None)
    if limits.choices and not _is_choice(value, limits.choices):
        return f"{_quote(value)} is not {'one of ' if len(limits.choices) > 1 else ''}{item.range}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _wrong_with_number(item, value)


def _wrong_with_number(item: Knob, value: float) -> str | None:
    limits = item.limits
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


def fits(value: Any, item: Knob) -> bool:
    """Whether TOML's `value` is of a type that the setting takes.

    TOML writes 0 for 0.0, so an integer passes for a float; a boolean never passes for a number.
    """
    if isinstance(value, list | tuple):
        return tuple in item.types and all(_is_a(part, (item.listed,)) for part in value)
    return _is_a(value, item.types)


def _is_a(value: Any, allowed: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in allowed
    if isinstance(value, int):
        return int in allowed or float in allowed
    return type(value) in allowed


def build(section: type, values: Mapping[str, Any]) -> Any:
    """An instance of `section` from checked values: lists become tuples, integers floats."""
    items = {item.name: item for item in knobs_of(section, "")}
    return section(**{name: _convert(value, items[name]) for name, value in values.items()})


def _convert(value: Any, item: Knob) -> Any:
    if isinstance(value, list):
        return tuple(map(item.listed, value))
    if isinstance(value, int) and not isinstance(value, bool) and int not in item.types:
        return float(value)
    return value


def in_words(value: Any) -> str:
    """A value as TOML writes it, without the quotes around a single word."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
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
        value = _unquoted(item, text)
    is_list = isinstance(value, list)
    if not is_list and (not fits(value, item) or _is_bare_list(item, value)):
        value = _unquoted(item, text)
    if message := wrong_with(item, value):
        raise SettingsError("This setting does not fit", [Problem(item.key, message)])
    return value


def _is_bare_list(item: Knob, value: Any) -> bool:
    """Whether a text stands where only some texts may, and lists of others."""
    return (
        isinstance(value, str)
        and tuple in item.types
        and value not in (item.limits.choices or {value})
    )


def _unquoted(item: Knob, text: str) -> Any:
    """A text without quotes as the setting takes it; between commas, the parts of a list."""
    if tuple not in item.types or text in item.limits.choices:
        return text if str in item.types else _toml(text)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if item.listed is not str:
        return [_toml(part) for part in parts]
    is_one = str in item.types and not item.limits.choices and "," not in text
    return text if is_one else parts


def _toml(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


_HUGE = 10**18  # longer numbers cannot be meant, and libraries count in 64 bits

_NAMES = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def _names(item: Knob) -> str:
    lists = "a list of texts" if item.listed is str else "a list of numbers"
    shown = [kind for kind in item.types if not (kind is int and float in item.types)]
    return " or ".join(lists if kind is tuple else _NAMES[kind] for kind in shown)


def _quote(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else in_words(value) if value != [] else "[]"
