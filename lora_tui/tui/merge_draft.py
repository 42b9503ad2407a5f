"""What is about to be merged, while it is edited. Pure: every change makes another draft."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from lora_tui.core import runs
from lora_tui.core.members import Member, told_apart
from lora_tui.core.merging import DENSE, DTYPES, METHODS, MergePlan
from lora_tui.core.runs import Run
from lora_tui.core.settings import Knob, SettingsError, in_words, knob, knobs_of, parse

_MEMBER = "member "
_DIGITS = 10  # 0.1 + 0.2 is 0.3 to whoever presses a key


@dataclass(frozen=True)
class _Values:
    """What is typed, and what fits."""

    weight: float = knob(1.0, "How much of this adapter's update goes in.")
    density: float = knob(0.5, "The share of the entries that is kept.", above=0, high=1)
    rank: int = knob(0, "Of the result; 0 for the largest there is.", low=0, high=65536)
    seed: int = knob(0, "Of what is dropped by chance.", low=0)


_KNOBS = {item.name: item for item in knobs_of(_Values, "")}
_CHOICES: dict[str, Sequence[str]] = {"method": tuple(METHODS), "dtype": DTYPES}
_STEPS = {"weight": 0.1, "density": 0.1, "rank": 1, "seed": 1}


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan, and where its result goes; `out` is empty for the usual place."""

    plan: MergePlan
    out: str = ""

    @classmethod
    def of(cls, members: Sequence[Member]) -> Self:
        """All of them alike."""
        return cls(MergePlan(members=tuple(told_apart(members)), weights=_alike(len(members))))

    @classmethod
    def again(cls, run: Run) -> Self | None:
        """What an earlier merge was made of; None where its files do not say."""
        options = runs.read_info(run).get("options")
        try:
            plan = MergePlan.from_document(options)  # type: ignore[arg-type]  # anything at all
            out = str(options["out"])  # type: ignore[index]
            known = plan.method in METHODS and plan.dtype in DTYPES
        except (LookupError, TypeError, ValueError, AttributeError):
            return None
        if not known or not plan.members or len(plan.members) != len(plan.weights):
            return None
        if len(plan.members) == 1:  # whose weight the form does not show
            plan = replace(plan, weights=_alike(1))
        usual = cls(plan).usual
        return cls(plan, "" if usual is not None and out == str(usual) else out)

    @property
    def usual(self) -> Path | None:
        """Where the result of one run's adapter goes if nobody says; others get a new folder."""
        first, *more = self.plan.members
        return Run(Path(first.run)).merged if first.run and not more else None

    @property
    def folder(self) -> Path | None:
        """Where the result goes; None for a new folder among the merges."""
        return Path(self.out).expanduser().absolute() if self.out else self.usual

    @property
    def has_weights(self) -> bool:
        """Whether there is anything to weigh."""
        return len(self.plan.members) > 1

    @property
    def keys(self) -> list[str]:
        """What can be edited, a line each, in order."""
        plan, found = self.plan, [key_of(member) for member in self.plan.members]
        if self.has_weights:
            found.append("method")
            found += ["density"] if plan.method in DENSE else []
            found += ["rank"] if plan.method == "svd" else []
            found += ["seed"] if plan.method.startswith("dare") else []
        return [*found, "dtype", "out"]

    def place_of(self, key: str) -> int | None:
        """Which member a line is about."""
        keys = [key_of(member) for member in self.plan.members]
        return keys.index(key) if key in keys else None

    def value(self, key: str) -> Any:
        """What stands in a line."""
        place = self.place_of(key)
        if place is not None:
            return self.plan.weights[place]
        return self.out if key == "out" else getattr(self.plan, key)

    def with_value(self, key: str, value: Any) -> Self:
        """With another value in a line."""
        if key == "out":
            return replace(self, out=value)
        place = self.place_of(key)
        if place is None:
            return replace(self, plan=replace(self.plan, **{key: value}))
        weights = [*self.plan.weights]
        weights[place] = value
        return replace(self, plan=replace(self.plan, weights=tuple(weights)))

    def turned(self, key: str, by: int) -> Self:
        """With the next value, or the one before; what has to be typed stays."""
        if choices := _CHOICES.get(key):
            at = choices.index(self.value(key)) if self.value(key) in choices else 0
            return self.with_value(key, choices[(at + by) % len(choices)])
        if (item := self.knob_of(key)) is None:
            return self
        value = round(self.value(key) + by * _STEPS[item.name], _DIGITS)
        fits = parse_or_none(item, in_words(value))
        return self if fits is None else self.with_value(key, fits)

    def can_turn(self, key: str) -> bool:
        """Whether a line has a next value; what has to be typed has none."""
        return key in _CHOICES or self.knob_of(key) is not None

    def knob_of(self, key: str) -> Knob | None:
        """What may be typed in a line; None if nothing is, or it has no weight."""
        if self.place_of(key) is not None:
            return _KNOBS["weight"] if self.has_weights else None
        return _KNOBS.get(key)

    def with_member(self, more: Member) -> Self:
        """With one more: all alike if they were, else with the mean of the others' weights."""
        weights, number = self.plan.weights, len(self.plan.members)
        was_alike = weights == _alike(number)
        new = _alike(number + 1) if was_alike else (*weights, round(sum(weights) / number, _DIGITS))
        members = tuple(told_apart([*self.plan.members, more]))
        return replace(self, plan=replace(self.plan, members=members, weights=new))

    def without(self, place: int) -> Self:
        """With one less: all alike if they were; what is alone is taken whole."""
        members = [one for at, one in enumerate(self.plan.members) if at != place]
        rest = tuple(one for at, one in enumerate(self.plan.weights) if at != place)
        was_alike = self.plan.weights == _alike(len(self.plan.members))
        new = _alike(len(members)) if was_alike or len(members) == 1 else rest
        return replace(self, plan=replace(self.plan, members=tuple(members), weights=new))


def key_of(member: Member) -> str:
    """The line of a member."""
    return f"{_MEMBER}{member.id}"


def _alike(number: int) -> tuple[float, ...]:
    return (1 / number,) * number


def read(item: Knob, text: str) -> Any:
    """The value that was typed.

    Raises:
        SettingsError: it does not fit.
    """
    value = parse(item, text)
    return float(value) if item.types == (float,) else value


def parse_or_none(item: Knob, text: str) -> Any:
    """The value that was typed, or None."""
    try:
        return read(item, text)
    except SettingsError:
        return None


def wrong_with(item: Knob, text: str) -> str | None:
    """What is wrong with a text, in a sentence."""
    try:
        read(item, text)
    except SettingsError as error:
        return f"{error.problems[0].message}."
    return None
