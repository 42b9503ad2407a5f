"""A preset while it is being edited: every text typed is kept, and says what is wrong with it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from lora_tui.core import preset_check, presets
from lora_tui.core.presets import Preset
from lora_tui.core.settings import Knob, Problem, SettingsError, in_words, parse

_NEEDS_QUOTES = frozenset(',"\\[')


@dataclass(frozen=True, slots=True)
class Wrong:
    """A text that is no value for its setting, and why."""

    text: str
    message: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A preset's document with edits; a text that does not fit stands beside it, never replaced."""

    document: Mapping[str, Any]
    wrong: Mapping[str, Wrong] = field(default_factory=dict)

    @classmethod
    def of(cls, preset: Preset) -> Self:
        """The draft that is exactly `preset`."""
        return cls(presets.to_document(preset))

    def value(self, item: Knob) -> Any:
        """The latest value that fitted."""
        return self.document[item.table][item.name]

    def text(self, item: Knob) -> str:
        """What stands in the field: what was typed when it does not fit, else the value."""
        if wrong := self.wrong.get(item.key):
            return wrong.text
        return typed(item, self.value(item))

    def with_text(self, item: Knob, text: str) -> Self:
        """The draft after `text` was typed into a setting."""
        others = {key: wrong for key, wrong in self.wrong.items() if key != item.key}
        try:
            value = parse(item, text)
        except SettingsError as error:
            message = "; ".join(problem.message for problem in error.problems)
            return replace(self, wrong={**others, item.key: Wrong(text, message)})
        return replace(self._with_value(item, value), wrong=others)

    def with_value(self, item: Knob, value: Any) -> Self:
        """The draft with a value that is known to fit."""
        others = {key: wrong for key, wrong in self.wrong.items() if key != item.key}
        return replace(self._with_value(item, value), wrong=others)

    def _with_value(self, item: Knob, value: Any) -> Self:
        table = {**self.document[item.table], item.name: value}
        return replace(self, document={**self.document, item.table: table})

    @property
    def problems(self) -> list[Problem]:
        """Everything wrong with it: texts that do not fit, and values that do not go together."""
        typed_wrong = [Problem(key, wrong.message) for key, wrong in self.wrong.items()]
        return typed_wrong + preset_check.check(self.document)

    @property
    def preset(self) -> Preset:
        """The preset it describes.

        Raises:
            SettingsError: all that is wrong with it.
        """
        if problems := self.problems:
            raise SettingsError("These settings do not fit", problems)
        return presets.from_document(self.document)


def typed(item: Knob, value: Any) -> str:
    """A value as one would type it: reading it back gives the same value."""
    words = in_words(value)
    if str not in item.types or tuple not in item.types:
        return words
    parts = [value] if isinstance(value, str) else list(value)
    if any(_NEEDS_QUOTES & set(part) for part in parts):  # else a comma would part it
        return json.dumps(value, ensure_ascii=False)
    return f"{words}," if not isinstance(value, str) and len(parts) == 1 else words


def differences(was: Preset, draft: Draft) -> list[tuple[str, str, str]]:
    """Where a draft differs from a preset: (key, what it was, what stands now), also if wrong."""
    before = Draft.of(was)
    pairs = [(item.key, before.text(item), draft.text(item)) for item in presets.all_knobs()]
    return [(key, old or "empty", new or "empty") for key, old, new in pairs if old != new]
