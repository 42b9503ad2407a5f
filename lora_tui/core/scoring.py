"""How well answers keep to a task: the manner it asks for, and the fact inside.

A task is a folder with ``task.toml`` beside its rows. The manner is a regular expression that the
whole answer must match; what its group ``fact`` holds is compared with the row's plain sentence.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a data set's answers should look like.

    Attributes:
        description: What the task is, in a sentence.
        pattern: What a whole answer must match; its group ``fact`` is the sentence inside.
    """

    description: str
    pattern: re.Pattern[str]


def load_task(folder: Path) -> Task:
    """Read ``task.toml`` in the folder.

    Raises:
        ValueError: If the file is no task: not TOML, a key missing or unknown, a pattern that does
            not compile or has no group ``fact``.
        OSError: If the file cannot be read.
    """
    path = folder / "task.toml"
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    score_table = table.get("score")
    if not isinstance(score_table, dict):
        raise ValueError(f"{path}: the table [score] is missing")
    unknown = sorted((table.keys() - {"description", "score"}) | (score_table.keys() - {"pattern"}))
    if unknown:
        raise ValueError(f"{path}: unknown key {unknown[0]}")
    description, pattern = table.get("description"), score_table.get("pattern")
    if not isinstance(description, str) or not isinstance(pattern, str):
        raise ValueError(f"{path}: description and score.pattern must both be text")
    try:
        compiled = re.compile(pattern, re.DOTALL)
    except re.error as error:
        raise ValueError(f"{path}: score.pattern: {error}") from error
    if "fact" not in compiled.groupindex:
        raise ValueError(f"{path}: score.pattern has no group named fact")
    return Task(description=description, pattern=compiled)


def score(task: Task, texts: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dict[str, float]:
    """The share of texts in the task's manner, and of those that also hold their row's fact.

    Args:
        task: What to look for.
        texts: What the model answered, one a row.
        rows: The rows that were asked, each with its ``fact``.

    Returns:
        ``manner`` and ``manner_and_fact``, each from 0 to 1.

    Raises:
        ValueError: If there is nothing to score, or not one text a row.
    """
    if not rows or len(texts) != len(rows):
        raise ValueError(f"{len(texts)} answers for {len(rows)} rows")
    matches = [task.pattern.fullmatch(text.strip()) for text in texts]
    right = [
        match is not None and _plain(match["fact"]) == _plain(row["fact"])
        for match, row in zip(matches, rows, strict=True)
    ]
    return {
        "manner": sum(match is not None for match in matches) / len(rows),
        "manner_and_fact": sum(right) / len(rows),
    }


def _plain(sentence: str | None) -> str:
    """The sentence without what the manner may add or drop: outer spaces and the full stop."""
    return (sentence or "").strip().removesuffix(".").strip()
