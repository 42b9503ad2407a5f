"""How answers are drawn in a chat: declared once, read from what a user typed, said in words."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from lora_tui.core.settings import Knob, Problem, SettingsError, knob, knobs_of, parse
from lora_tui.core.text import number


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """What goes with every question."""

    temperature: float = knob(0.0, "0 is greedy: the likeliest token each time", low=0.0, high=10.0)
    top_p: float = knob(
        1.0, "draw from the likeliest tokens that make up this share", above=0.0, high=1.0
    )
    seed: int = knob(0, "the same seed draws the same answer", low=0, high=2**32 - 1)
    max_new_tokens: int = knob(256, "how long an answer may be", low=1, high=32_768)
    system: str = knob("", "stands before the conversation; empty for none")

    def request(self) -> dict[str, Any]:
        """What an engine is told; the system prompt is a message, and none of it."""
        return {item.name: getattr(self, item.name) for item in fields(self)[:-1]}

    @property
    def is_greedy(self) -> bool:
        """Whether no chance is in it."""
        return self.temperature == 0

    def words(self) -> str:
        """In a line: `greedy, at most 256 tokens`."""
        drawn = f"temperature {number(self.temperature)}"
        if self.top_p < 1:
            drawn += f", top-p {number(self.top_p)}"
        drawn = "greedy" if self.is_greedy else f"{drawn}, seed {self.seed}"
        return f"{drawn}, at most {self.max_new_tokens:,} tokens"


KNOBS: tuple[Knob, ...] = tuple(knobs_of(ChatSettings, ""))


def problems(texts: Mapping[str, str]) -> list[Problem]:
    """Everything wrong with what was typed."""
    return _read(texts)[1]


def read(texts: Mapping[str, str]) -> ChatSettings:
    """The settings that were typed, by name; the system prompt is taken as it is.

    Raises:
        SettingsError: all that is wrong with them.
    """
    values, wrong = _read(texts)
    if wrong:
        raise SettingsError("These settings do not fit", wrong)
    return ChatSettings(**values)


def _read(texts: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    values, wrong = dict[str, Any](), list[Problem]()
    for item in KNOBS:
        text = texts[item.name]
        if item.types == (str,):
            values[item.name] = text
            continue
        try:
            value = parse(item, text)
            values[item.name] = float(value) if item.types == (float,) else value
        except SettingsError as error:
            wrong += error.problems
    return values, wrong
