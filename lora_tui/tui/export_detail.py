"""All that is known of one type or file of an export: in a few lines, and on a page of its own."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from lora_tui.core import quantisation, text
from lora_tui.core.exporting import Exporting
from lora_tui.core.files import slug
from lora_tui.core.members import Member
from lora_tui.core.proof_figures import in_short
from lora_tui.core.text import duration
from lora_tui.tui import proof_words
from lora_tui.tui.columns import cut, dash, left
from lora_tui.tui.compare_words import paragraph
from lora_tui.tui.export_offer import Choice, Kind, Made, Offer
from lora_tui.tui.export_words import Now, came_to, counts, date, file_of, made_of
from lora_tui.tui.widgets.painting import Row, Rows, end_of

_LABEL = 10
_INDENTED = 60  # cells in which a proof's figures have room beside the labels
_ANEW = "what it was made from has changed since: x makes it anew"
_MATRIX = {
    quantisation.NEEDED: "needed; it is computed from the training data",
    quantisation.HELPS: "helps; it is computed from the training data",
}


def short(quant: str, offer: Offer, choice: Choice, frame: Now, width: int) -> Iterator[Row]:
    """The type at the cursor, the most important first."""
    kind = _kind(quant, offer)
    made = made_of(quant, offer, choice, frame)
    yield from _labelled(quant, kind.about, width, role="strong")
    yield from _refusal(kind, choice, frame, width)
    if made is not None and (proof := made.file.proof) is not None:
        said, role = came_to(made)
        beside = _ANEW if made.earlier else " ".join(proof.reasons[:1]) or in_short(proof)
        yield from _labelled("proof", f"{said}{dash()}{beside}", width, words=role)
    yield from _shapes(kind, made, width)
    if made is not None:
        yield (left("file", _LABEL), "muted"), (end_of(made.file.path, width - _LABEL), "text")


def page(quant: str, offer: Offer, choice: Choice, frame: Now, width: int) -> Rows:
    """A type in full: its file, its proof, what the model says in torch and in the file."""
    kind = _kind(quant, offer)
    made = made_of(quant, offer, choice, frame)
    rows = [*_labelled(quant, kind.about, width, role="strong")]
    rows += _refusal(kind, choice, frame, width)
    if made is not None:
        rows += _labelled("file", made.file.path, width)
        rows += _labelled("size", ", ".join(_facts(kind, made)), width)
    elif kind.bytes is not None:
        rows += _labelled("size", f"about {text.size(kind.bytes)}", width)
    rows += _shapes(kind, made, width)
    if made is not None and (proof := made.file.proof) is not None:
        rows.append(())
        if made.earlier:
            said, role = came_to(made)
            rows += _labelled("state", f"{said}{dash()}{_ANEW}", width, words=role)
        said, role = proof_words.verdict(proof)
        rows += _labelled("proof", said, width, words=role)
        indent = _LABEL if width >= _INDENTED else 0
        start = ((" " * indent, "text"),)
        rows += (start + row for row in proof_words.rows(proof, width - indent))
        rows += _labelled("data", str(proof.figures.get("source") or ""), width)
        rows += proof_words.answers(proof, width)
    return tuple(rows)


def _kind(quant: str, offer: Offer) -> Kind:
    return next((one for one in offer.kinds if one.quant == quant), Kind(quant, ""))


def _refusal(kind: Kind, choice: Choice, frame: Now, width: int) -> Iterator[Row]:
    file = file_of(kind.quant, choice, frame)
    if file is not None and file.refused:
        said = f"{file.refused['summary']} {file.refused['hint']}"
        yield from _labelled("refused", said, width, words="bad")
    elif kind.refused:
        yield from _labelled("refused", kind.refused, width, words="warn")


def _facts(kind: Kind, made: Made) -> Iterator[str]:
    expected = f" (~{text.size(kind.bytes)} expected)" if kind.bytes is not None else ""
    yield f"{text.size(made.file.bytes)}{expected}"
    if made.file.seconds is not None:
        yield f"written in {duration(made.file.seconds)}"
    if when := date(made, "%d %b %H:%M"):
        yield f"made {when}"


def _shapes(kind: Kind, made: Made | None, width: int) -> Iterator[Row]:
    types = counts(made.file.types if made else kind.types)
    said = "; ".join(filter(None, (types, kind.sentence)))
    yield from _labelled("tensors", said, width)
    yield from _labelled("matrix", _MATRIX.get(kind.matrix, ""), width)


def _labelled(
    label: str, said: str, width: int, *, role: str = "muted", words: str = "text"
) -> Iterator[Row]:
    """A text beside what it is about; nothing where there is none."""
    if said:
        yield from paragraph(left(label, _LABEL), said, width, role, words=words)


def uses(frame: Now, member: Member) -> list[tuple[str, str]]:
    """What to type to use the files, by the program it is for."""
    now = frame.now if frame else Exporting()
    found = [("llama.cpp", now.command)] if now.command else []
    if now.modelfile:
        name, path = slug(Path(member.name).name), shlex.quote(now.modelfile)
        found = [("Ollama", f"ollama create {name} -f {path}"), *found]
    return found


def copyable(made: Made | None, frame: Now, member: Member) -> list[tuple[str, str]]:
    """What can be copied, by its name: what to type, and the path of a file."""
    file = [(made.file.quant, made.file.path)] if made else []
    return [*uses(frame, member), *file]


def use_lines(typed: Sequence[tuple[str, str]], width: int) -> Rows:
    """Each in a line."""
    return tuple(
        ((left(program, _LABEL), "muted"), (cut(words, width - _LABEL), "text"))
        for program, words in typed
    )
