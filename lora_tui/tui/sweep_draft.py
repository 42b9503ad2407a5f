"""What is about to be swept, while it is edited. Pure: every change makes another draft."""

from dataclasses import dataclass, replace
from typing import Any, Self

from lora_tui.core import grids, presets
from lora_tui.core.grids import Grid
from lora_tui.core.presets import Preset
from lora_tui.core.settings import SettingsError
from lora_tui.core.sweeps import Asked

RANKS = (8, 16, 32, 64)
SWITCHES = ("with_full", "halving")
NAME = "name"


@dataclass(frozen=True, slots=True)
class Draft:
    """A preset, the values of its keys, and how it is swept."""

    preset: Preset
    grid: Grid
    with_full: bool = False
    halving: bool = False
    name: str = ""

    @classmethod
    def of(cls, preset: Preset, name: str = "") -> Self:
        """The usual ranks; of full fine-tuning, which has none, learning rates around its own."""
        if preset.lora.method == "lora":
            return cls(preset, {"lora.r": RANKS}, name=name)
        rate = preset.training.learning_rate
        rates = tuple(float(f"{rate * factor:.3g}") for factor in (0.5, 1, 2))
        return cls(preset, {"training.learning_rate": rates}, name=name)

    @property
    def keys(self) -> list[str]:
        """What can be edited, a line each."""
        return [*self.grid, *SWITCHES, NAME]

    @property
    def asked(self) -> Asked:
        """The sweep it describes."""
        return Asked(
            preset=self.preset,
            grid=self.grid,
            with_full=self.with_full,
            halving=self.halving,
            name=self.name,
        )

    def turned(self, key: str) -> Self:
        """With a switch the other way; all else has to be typed."""
        if key == "with_full":
            return replace(self, with_full=not self.with_full)
        return replace(self, halving=not self.halving) if key == "halving" else self

    def with_values(self, key: str, text: str) -> Self:
        """With other values of a key, or one key more.

        Raises:
            SettingsError: they do not fit.
        """
        return replace(self, grid={**self.grid, key: grids.read_values(key, text)})

    def without(self, key: str) -> Self:
        """With one key less."""
        return replace(self, grid={one: self.grid[one] for one in self.grid if one != key})

    def own_value(self, key: str) -> Any:
        """What the preset itself says of a key."""
        table, _, name = key.partition(".")
        return getattr(getattr(self.preset, table), name)


def wrong_with(key: str, text: str) -> str | None:
    """What is wrong with typed values, in a sentence."""
    try:
        grids.read_values(key, text)
    except SettingsError as error:
        return f"{error.problems[0].message}."
    return None


def wrong_with_key(draft: Draft, text: str) -> str | None:
    """What is wrong with a key that is to be swept too, in a sentence."""
    if text in draft.grid:
        return "It is swept already: enter on its line changes its values."
    if text in {item.key for item in presets.all_knobs()}:
        return None
    return wrong_with(text, "") if text else "As in training.learning_rate."
