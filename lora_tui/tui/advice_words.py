"""What the screens say of advice in words: how much there is, what it changes, where it is from."""

from collections.abc import Sequence

from lora_tui.core.advice import RULES, Advice
from lora_tui.core.settings import in_words
from lora_tui.core.text import one_line
from lora_tui.tui import look

RULES_FOR_HELP = tuple((rule.name, f"{rule.when} ({rule.source})") for rule in RULES)
"""Every rule as the help lists it: its name, its condition and its source."""

NOTHING = "Nothing to advise: no rule speaks of what is known here."
CORRECT_FIRST = "Correct the preset first: there is advice on a preset that can be trained."


def mark() -> str:
    """What stands before a hint, as before a warning."""
    return look.warning()


def count(advices: Sequence[Advice]) -> str:
    """How much there is."""
    return "1 hint" if len(advices) == 1 else f"{len(advices)} hints"


def short(advices: Sequence[Advice]) -> str:
    """How much there is, and the key that tells; empty without any."""
    return f"{mark()} {count(advices)} (v)" if advices else ""


def line(advices: Sequence[Advice]) -> str:
    """The same, and what about."""
    return f"{short(advices)}: {', '.join(one.rule for one in advices)}" if advices else ""


def changes(advice: Advice) -> list[str]:
    """Each setting of the remedy with its new value, as one would type it."""
    return [f"{key} = {one_line(in_words(value))}" for key, value in advice.changes.items()]
