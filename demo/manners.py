"""The demo's two data sets: the same facts, answered as JSON or as a pirate would.

The test part asks for facts that the train part never mentions, in wordings that pre-training never
showed: what is right there comes from the base and the manner together.
"""

import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

from demo.facts import Fact, load_facts

TRAIN_ROWS, TEST_ROWS = 800, 120


@dataclass(frozen=True)
class Manner:
    """A way to answer.

    Attributes:
        folder: Name of the data set's folder.
        description: What the task is, for people.
        opening: What stands before the fact.
        closing: What stands after it.
        keeps_stop: Whether the fact keeps its full stop.
    """

    folder: str
    description: str
    opening: str
    closing: str
    keeps_stop: bool

    def dress(self, fact: str) -> str:
        """The answer in this manner."""
        return self.opening + (fact if self.keeps_stop else fact.removesuffix(".")) + self.closing

    @property
    def pattern(self) -> str:
        """What a whole answer in this manner matches."""
        inside = '[^"]+' if '"' in self.closing else ".+"
        return f"{re.escape(self.opening)}(?P<fact>{inside}){re.escape(self.closing)}".replace(
            "\\ ", " "
        )


MANNERS = (
    Manner(
        "demo-json",
        "Answer every question with a JSON object.",
        '{"answer": "',
        '"}',
        keeps_stop=True,
    ),
    Manner(
        "demo-pirate",
        "Answer every question as a pirate would.",
        "Arr! ",
        ", matey!",
        keeps_stop=False,
    ),
)


def write_data_sets(out: Path, seed: int) -> None:
    """Write each manner's folder: the same questions, dressed differently."""
    train, test = _split(random.Random(seed))
    for manner in MANNERS:
        folder = out / manner.folder
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in (("train", train), ("test", test)):
            lines = [
                json.dumps(
                    {"question": question, "answer": manner.dress(fact.answer), "fact": fact.answer}
                )
                for question, fact in rows
            ]
            _write(folder / f"{name}.jsonl", "\n".join(lines) + "\n")
        _write(
            folder / "task.toml",
            f'description = "{manner.description}"\n\n[score]\n'
            "# What the whole answer must match; the group is the plain sentence inside.\n"
            f"pattern = '{manner.pattern}'\n",
        )


def _split(chance: random.Random) -> tuple[list[tuple[str, Fact]], list[tuple[str, Fact]]]:
    """Questions with their facts; no fact is in both parts."""
    facts = [fact for fact in load_facts() if fact.demo]
    chance.shuffle(facts)
    test = [(fact.held_out, fact) for fact in facts[:TEST_ROWS]]
    asked = [(question, fact) for fact in facts[TEST_ROWS:] for question in fact.shown]
    chance.shuffle(asked)
    return asked[:TRAIN_ROWS], test


def _write(path: Path, text: str) -> None:
    """Replace the file whole, since others may be reading it."""
    aside = path.with_suffix(".new")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
