"""Advice: what to look at, why, by whose word, and which change of the preset would help.

Nothing is ever blocked by it, and a rule whose facts are not known does not speak.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core import advice_data_rules, advice_rules, advice_run_rules
from lora_tui.core.advice_facts import Known
from lora_tui.core.advice_rules import Rule
from lora_tui.core.metrics import Snapshot
from lora_tui.core.presets import Preset

__all__ = ["RULES", "Advice", "Known", "advice", "of_run"]

RULES = advice_run_rules.RULES + advice_rules.RULES + advice_data_rules.RULES
"""All rules, what became of a run first."""

_NAMED = {rule.name: rule for rule in RULES}


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing to think about; `changes` are of the preset, empty where none would help.

    Of several remedies `changes` is the likeliest; the text names the others.
    """

    rule: str
    text: str
    source: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As the command line prints it."""
        return {
            "rule": self.rule,
            "text": self.text,
            "source": self.source,
            "changes": dict(self.changes),
        }


def advice(known: Known) -> list[Advice]:
    """All that applies, in the order of the rules."""
    said = {rule.name: found for rule in RULES if (found := rule.say(known))}

    def speaks(rule: Rule) -> bool:
        return rule.name in said and not any(speaks(_NAMED[other]) for other in rule.unless)

    return [
        Advice(rule.name, said[rule.name][0], rule.source, said[rule.name][1])
        for rule in RULES
        if speaks(rule)
    ]


def of_run(preset: Preset | None, run: Snapshot) -> list[Advice]:
    """What applies to a run as it stands; nothing where its preset cannot be read."""
    return advice(Known.of_run(preset, run)) if preset else []
