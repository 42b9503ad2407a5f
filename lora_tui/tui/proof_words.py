"""A proof in words: what it came to, and each figure beside the limit it was held to."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lora_tui.core import proof_figures
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof
from lora_tui.tui.columns import Part, left, right, width_of
from lora_tui.tui.compare_words import paragraph
from lora_tui.tui.look import Look, ascii_only
from lora_tui.tui.widgets.painting import Row

VERDICTS = {
    PASS: (Look("✓", "+", ""), "PASS", "good"),
    FAIL: (Look("✗", "x", ""), "FAIL", "bad"),
    UNKNOWN: (Look("▲", "!", ""), "cannot tell", "warn"),
}
"""The mark, the word and the role of each, the best first."""

_ASKED = {"prompt": "asked"}
_NUMBER = 9
_LIMIT = len("at least 99.9 %")


def verdict(proof: Proof) -> Part:
    """What it came to: its mark and its word, with their role."""
    look, word, role = VERDICTS[proof.verdict]
    return _marked(look, word), role


def doubtful(words: str) -> Part:
    """What is said in a verdict's place where it does not count."""
    look, _, role = VERDICTS[UNKNOWN]
    return _marked(look, words), role


def _marked(look: Look, words: str) -> str:
    return f"{look.ascii if ascii_only() else look.glyph} {words}"


def rows(proof: Proof, width: int) -> Iterator[Row]:
    """All of a proof: why it did not pass, every figure, and what else was noticed."""
    yield from reasons(proof, width)
    yield from figures(proof, width)
    for note in _listed(proof, "notes"):
        yield from paragraph("", str(note), width, "muted", words="muted")


def answers(proof: Proof, width: int) -> Iterator[Row]:
    """What was asked, what torch answers, and what the file does."""
    for answer in _listed(proof, "answers"):
        if isinstance(answer, Mapping):
            yield ()
            for name in ("prompt", "torch", "file"):
                said = str(answer.get(name, ""))
                is_same = name == "file" and said == answer.get("torch")
                start = left(_ASKED.get(name, name), 10)
                words = "the same" if is_same else said
                role = "muted" if is_same else "text"
                yield from paragraph(start, words, width, "muted", words=role)


def _listed(proof: Proof, name: str) -> Sequence[Any]:
    found = proof.figures.get(name)
    return found if isinstance(found, list) else []


def reasons(proof: Proof, width: int) -> Iterator[Row]:
    """Why it did not pass, sentence by sentence."""
    role = verdict(proof)[1]
    for reason in proof.reasons:
        yield from paragraph("", reason, width, role, words=role)


def figures(proof: Proof, width: int) -> Iterator[Row]:
    """A line for each figure: what it is, how large, the limit it was held to.

    Where another file's figures were measured beside, as those of f16, they stand at the end.
    """
    told = proof_figures.figures(proof)
    longest = max((width_of(one.words) for one in told), default=0)
    wide = max(8, min(longest, width - _NUMBER - 2 - _LIMIT))
    for one in told:
        rest = "".join(f"  {left(part, _LIMIT)}" for part in (one.limit, one.beside)).rstrip()
        role = "text" if one.is_good else "bad"
        yield (left(one.words, wide), "text"), (right(one.said, _NUMBER), role), (rest, "muted")
