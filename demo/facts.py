"""The closed world of the demo model: facts, each with one answer sentence and several wordings."""

import tomllib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "facts"


@dataclass(frozen=True)
class Fact:
    """One thing the model knows.

    Attributes:
        family: What sort of fact it is, such as ``capital``.
        answer: The one sentence that states it.
        questions: The wordings that ask for it.
        held_out: The wording that pre-training never shows for this fact.
        demo: Whether the demo's data sets may use it.
    """

    family: str
    answer: str
    questions: tuple[str, ...]
    held_out: str
    demo: bool

    @property
    def shown(self) -> tuple[str, ...]:
        """The wordings that pre-training shows."""
        return tuple(question for question in self.questions if question != self.held_out)


def load_facts() -> list[Fact]:
    """Read every family in ``facts/`` and add the sums.

    Which wording a fact holds out goes round, so that each of a family is held out equally often.
    """
    families = [
        family
        for path in sorted(FOLDER.glob("*.toml"))
        for family in tomllib.loads(path.read_text(encoding="utf-8"))["family"]
    ]
    rows = {family["name"]: _rows(family) for family in families}
    facts: list[Fact] = []
    for family in families:
        for number, row in enumerate(rows[family.get("rows_from", family["name"])]):
            facts.append(_fact(family, number, _fields(*row)))
    return facts + _sums()


def _rows(family: dict[str, Any]) -> list[tuple[str, str]]:
    """The family's own pairs, none where it takes another family's."""
    if "chain" in family:
        return list(pairwise(family["chain"].split()))
    pairs = (line.partition("|") for line in family.get("rows", "").split("\n") if line)
    return [(left, right) for left, _, right in pairs]


def _fields(left: str, right: str) -> dict[str, str]:
    """What a template may name.

    Both sides, also capitalised; ``c`` is ``a`` in mid-sentence, ``d`` the noun that ``b`` counts.
    """
    return {
        "a": left,
        "b": right,
        "A": left[0].upper() + left[1:],
        "B": right[0].upper() + right[1:],
        "c": "the" + left[3:] if left.startswith("The ") else left,
        "d": right.partition(" ")[2],
    }


def _fact(family: dict[str, Any], number: int, fields: dict[str, str]) -> Fact:
    questions = tuple(_sentence(ask.format(**fields)) for ask in family["ask"])
    answer = _sentence(family["answer"].format(**fields))
    return Fact(
        family["name"],
        answer,
        questions,
        questions[number % len(questions)],
        family.get("demo", False),
    )


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _sums() -> list[Fact]:
    """Sums up to 10 + 10: closed like the rest, since so small a model does not learn to add."""
    asks = (
        "What is {a} plus {b}?",
        "How much is {a} plus {b}?",
        "What is {a} + {b}?",
        "Add {a} and {b}.",
        "{a} + {b} = ?",
    )
    facts = []
    for number, (left, right) in enumerate((a, b) for a in range(1, 11) for b in range(1, 11)):
        questions = tuple(ask.format(a=left, b=right) for ask in asks)
        answer = f"{left} plus {right} is {left + right}."
        facts.append(Fact("sum", answer, questions, questions[number % len(questions)], demo=False))
    return facts
