"""A grid over preset keys: typed lines become values, and values become presets, one a run."""

import itertools
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_tui.core import preset_files, presets
from lora_tui.core.preset_files import changed, unknown_key
from lora_tui.core.presets import LoraSettings, Preset
from lora_tui.core.settings import Knob, Problem, SettingsError, in_words, parse

Grid = Mapping[str, Sequence[Any]]
"""The values of each key; runs are all their combinations."""

MOST_RUNS = 200  # more is a slip of the keyboard
FULL = "full"
"""What the run of the full fine-tuning baseline is called."""

_SHORT = {
    "lora.r": "r",
    "lora.lora_alpha": "alpha",
    "lora.lora_dropout": "dropout",
    "training.learning_rate": "lr",
    "training.per_device_train_batch_size": "batch",
    "training.seed": "seed",
}


@dataclass(frozen=True, slots=True)
class Variant:
    """One run of a sweep: what it is called beside the others, its values, its whole preset."""

    label: str
    values: Mapping[str, Any]
    preset: Preset
    is_baseline: bool = False


# --- what is typed -------------------------------------------------------------------------------


def read(lines: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """The grid of `TABLE.KEY=VALUE,VALUE` lines, as `--grid` gives them.

    Raises:
        SettingsError: all that is wrong with them.
    """
    grid: dict[str, tuple[Any, ...]] = {}
    problems: list[Problem] = []
    for line in lines:
        key, _, values = line.partition("=")
        try:
            known = read_values(key.strip(), values)
        except SettingsError as error:
            problems += error.problems
            continue
        if key.strip() in grid:
            problems.append(Problem(key.strip(), "is named twice; put its values in one list"))
        grid[key.strip()] = known
    if problems:
        raise SettingsError("This grid does not fit", problems)
    return grid


def read_values(key: str, text: str) -> tuple[Any, ...]:
    """The values of one key, between commas; a list is one value, in brackets.

    Raises:
        SettingsError: there is no such key, or a value does not fit it; all that is wrong.
    """
    known = {item.key: item for item in presets.all_knobs()}
    item, problems = known.get(key), list[Problem]()
    if item is None:
        said = unknown_key(key, known) if key else "write TABLE.KEY=VALUE,VALUE as in lora.r=8,16"
        raise SettingsError("This grid does not fit", [Problem(key, said)])
    found: list[Any] = []
    for part in _parts(text):
        try:
            if not part:
                raise SettingsError("", [Problem(key, "a value is missing: write 8,16,32")])
            value = _value(item, part)
            if value in found:
                raise SettingsError("", [Problem(key, f"{in_words(value)} is named twice")])
            found.append(value)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError("This grid does not fit", list(dict.fromkeys(problems)))
    return tuple(found)


def _parts(text: str) -> list[str]:
    """What stands between commas that are in no brackets and no quotes."""
    parts, depth, quote = [""], 0, ""
    for character in text:
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character == "[") - (character == "]")
        if character == "," and depth <= 0 and not quote:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _value(item: Knob, text: str) -> Any:
    """One value; a list may have its brackets without quotes around its words."""
    if tuple in item.types and text[0] == "[" and text[-1] == "]" and not _is_toml(text):
        text = text[1:-1]
    return parse(item, text)


def _is_toml(text: str) -> bool:
    try:
        tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return False
    return True


def typed(values: Sequence[Any]) -> str:
    """Values as one would type them."""
    return ", ".join(f"[{in_words(one)}]" if _is_list(one) else in_words(one) for one in values)


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


# --- what it comes to ----------------------------------------------------------------------------


def variants(preset: Preset, grid: Grid, *, with_full: bool = False) -> tuple[Variant, ...]:
    """Every run: all combinations, the last key's values changing fastest, then the baseline.

    Combinations that differ in nothing that has an effect are one run: full fine-tuning reads
    nothing of [lora].

    Raises:
        SettingsError: all values and combinations that do not fit.
    """
    number = 1
    for values in grid.values():
        number *= len(values)
    if not grid:
        raise SettingsError(
            "This sweep has no grid",
            [Problem("", "name a key and its values, as in --grid lora.r=8,16")],
        )
    if number > MOST_RUNS:
        said = f"{number:,} combinations; a sweep has {MOST_RUNS} at most"
        raise SettingsError("This grid is too large", [Problem("", said)])
    combinations = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())
    ]
    found: dict[Preset, Variant] = {}
    problems: dict[Problem, list[str]] = {}

    def add(label: str, values: Mapping[str, Any], *, is_baseline: bool = False) -> None:
        try:
            own = changed(preset, dict(values))
        except SettingsError as error:
            for problem in error.problems:
                problems.setdefault(problem, []).append(label)
        else:
            found.setdefault(_effective(own), Variant(label, values, own, is_baseline))

    constant = {key: values[0] for key, values in grid.items() if len(values) == 1}
    for one in combinations:
        add(label_of({key: one[key] for key in one if key not in constant} or one), one)
    if with_full and preset.lora.method == "full":
        said = "the preset is full fine-tuning itself: it needs no baseline of it"
        problems.setdefault(Problem("lora.method", said), []).append("")
    elif with_full:
        shared = {key: value for key, value in constant.items() if not key.startswith("lora.")}
        with suppress(SettingsError):  # said of the others already
            add(FULL, {**shared, **baseline(changed(preset, shared))}, is_baseline=True)
    if problems:
        raise SettingsError(
            "These runs do not fit", list(grouped(problems, len(combinations) + with_full))
        )
    return tuple(found.values())


def grouped(problems: Mapping[Problem, Sequence[str]], number: int) -> Iterator[Problem]:
    """Each problem once, with the runs that have it, unless all do."""
    for problem, labels in problems.items():
        more = f" and {len(labels) - 4} more" if len(labels) > 4 else ""
        whose = f" ({', '.join(labels[:4])}{more})" if len(labels) < number and any(labels) else ""
        yield Problem(problem.key, f"{problem.message}{whose}")


def _effective(preset: Preset) -> Preset:
    """The preset by what has an effect."""
    is_full = preset.lora.method == "full"
    return replace(preset, lora=LoraSettings(method="full")) if is_full else preset


def baseline(preset: Preset) -> dict[str, Any]:
    """The changes that make full fine-tuning of a LoRA preset, at a tenth of its learning rate."""
    rate = float(f"{preset.training.learning_rate / 10:.6g}")
    return {"lora.method": "full", "training.learning_rate": rate}


def label_of(values: Mapping[str, Any]) -> str:
    """A combination in a word: `r8`, `r8-lr0.0005`, `full`."""
    return "-".join(itertools.starmap(_word, values.items()))


def _word(key: str, value: Any) -> str:
    if key == "lora.method":
        return str(value)
    said = f"{value:g}" if isinstance(value, float) else "+".join(in_words(value).split(", "))
    if key in {"data.source", "model.name_or_path"}:
        said = Path(said).name
    short = _SHORT.get(key)
    return f"{short}{said}" if short else f"{key.rpartition('.')[2]}-{said}"


def from_command(
    reference: str, assignments: Sequence[str], lines: Sequence[str]
) -> tuple[Preset, dict[str, tuple[Any, ...]]]:
    """The preset and the grid that a command line names.

    Raises:
        SettingsError: all that is wrong with either.
        LoraTuiError: there is no such preset.
    """
    base, problems = preset_files.find(reference), list[Problem]()
    preset, grid = base, dict[str, tuple[Any, ...]]()
    try:
        preset = preset_files.with_settings(base, assignments)
    except SettingsError as error:
        problems += error.problems
    try:
        grid = read(lines)
    except SettingsError as error:
        problems += error.problems
    swept, named = (
        [one.partition("=")[0].strip() for one in kind] for kind in (lines, assignments)
    )
    said = "is set and swept: leave one of them out"
    problems += [Problem(key, said) for key in dict.fromkeys(named) if key in swept]
    if problems:
        raise SettingsError("This sweep does not fit", problems)
    return preset, grid
