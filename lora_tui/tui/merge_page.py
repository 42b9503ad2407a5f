"""A merge at work or ended, as lines of text: held-out losses, its proof, what was written."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_tui.core import merging, text
from lora_tui.core.events import figure, whole
from lora_tui.core.members import BASE
from lora_tui.core.merging import METHODS, Merging
from lora_tui.core.proofs import Proof
from lora_tui.core.text import duration, one_line
from lora_tui.tui import look, proof_words
from lora_tui.tui.columns import cut, dot, left, right, width_of
from lora_tui.tui.compare_grid import best_mark
from lora_tui.tui.compare_words import name_of, paragraph
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.look import STATES, ascii_only, glyph
from lora_tui.tui.merge_words import tag, what
from lora_tui.tui.widgets.painting import Row, Rows

MERGED = "merged"
"""What the result is called among the losses."""

AGAIN = "r, then t, merges again."
"""What is said where a merge can be repeated."""

_NAMES = {"kl": "KL by merging, nats", "kl_from_base": "KL by the adapter, nats"}
_COUNTED = frozenset(
    {
        "positions",
        "logit_spread",
        "tensors",
        "tensors_compared",
        "tensors_off",
        "tensors_with_nan",
        "reloads",
    }
)
"""The figures that are told in a sentence."""

_LABEL = 9
_WEIGHT, _LOSS, _CHANGE = 8, 15, 14
_NAME = 10
_ROLES = {"running": "accent", "stopping": "warn", "finished": "good", "stopped": "warn"}


@dataclass(frozen=True, slots=True)
class Left:
    """What of a merge is on the disk: its model, and the combined adapter beside it.

    `changed` are the names of adapters that are no longer what it was made of.
    """

    model: str = ""
    adapter: str = ""
    changed: tuple[str, ...] = ()

    @classmethod
    def of(cls, now: Merging) -> "Left":
        """What is there now; reads the disk."""
        folder = Path(now.path)
        if not now.path or now.ended != "finished":
            return cls()
        adapter = folder / "adapter"
        return cls(
            str(folder) if (folder / "config.json").is_file() else "",
            str(adapter) if (adapter / "adapter_config.json").is_file() else "",
            tuple(one_line(name_of(one)) for one in merging.changed(now)),
        )


def rows(now: Merging, found: Left, width: int) -> Rows:
    """All there is to tell so far."""
    return tuple(_rows(now, found, width)) if width > 7 else ()


def _rows(now: Merging, found: Left, width: int) -> Iterator[Row]:
    yield from _losses(now, width)
    if now.warnings:
        yield ()
    for warning in now.warnings:
        yield from paragraph(f"{look.warning()} ", warning, width, "warn")
    if now.proof:
        yield ()
        yield from _proof(now.proof, found, width)
    if now.written and now.ended == "finished":  # before, nothing has its name
        yield ()
        yield from _written(now, found, width)


def title(now: Merging) -> str:
    """What the page is called: how several became one, in words."""
    if len(now.members) < 2 or now.method not in METHODS:
        return "Merge"
    return f"Merge by {now.method}: {what(now.method)}"


def _proof(proof: Proof, found: Left, width: int) -> Iterator[Row]:
    """What it came to, each figure that has to be weighed, and the others in a sentence."""
    figures = proof.figures
    shown = {_NAMES.get(name, name): figures[name] for name in figures if name not in _COUNTED}
    yield (left("proof", _LABEL), "muted"), proof_words.verdict(proof)
    if found.changed:
        said = f"{_earlier(found)}: {', '.join(found.changed)} changed since. {AGAIN}"
        yield from paragraph("", said, width, "warn", words="warn")
    yield from proof_words.rows(replace(proof, figures=shown), width)
    yield from paragraph("", " ".join(_counted(figures)), width, "muted", words="muted")


def _earlier(found: Left) -> str:
    number = len(found.changed)
    return f"{look.warning()} made of {'an earlier adapter' if number == 1 else 'earlier adapters'}"


def _counted(found: Mapping[str, Any]) -> Iterator[str]:
    if places := whole(found.get("positions")):
        yield f"Measured at {places:,} places."
    if tensors := whole(found.get("tensors_compared")):
        off, broken = (whole(found.get(f"tensors_{name}")) or 0 for name in ("off", "with_nan"))
        most = whole(found.get("tensors")) or tensors
        rest = "" if tensors == most else f" compared, of {most:,},"
        kept, are = (f"{off:,} of", "are not") if off else ("All", "are")
        yield (
            f"{kept} {tensors:,} tensors{rest} {are} what the files make of them, "
            f"{broken or 'none'} has NaN."
        )
    if "reloads" in found:
        yield "It loads again." if found["reloads"] else "It does not load again."


def _losses(now: Merging, width: int) -> Iterator[Row]:
    """Base, parents and result, a line each; of several the best has a star once all are known."""
    has_weights = len(now.members) > 1
    lines = [(BASE, "base", "")]
    for at, (one, share) in enumerate(zip(now.members, now.weights, strict=False)):
        lines.append((one.id, f"{tag(at)} {one_line(name_of(one))}", text.number(share)))
    lines.append((MERGED, MERGED, ""))
    taken = _LOSS + _CHANGE + 1 + (_WEIGHT if has_weights else 0)
    has_change = width - taken >= _NAME
    taken -= 0 if has_change else _CHANGE
    room = max(4, min(width - taken, max(width_of(name) for _, name, _ in lines) + 2))
    has_best = has_weights and MERGED in now.scores
    best = min(now.scores.values()) if has_best else None
    base = now.scores.get(BASE)
    yield (
        (left("", room), "muted"),
        (right("weight", _WEIGHT) if has_weights else "", "muted"),
        (right("held-out loss", _LOSS) + " ", "muted"),
        (right("against base", _CHANGE) if has_change else "", "muted"),
    )
    for id_, name, weight in lines:
        loss = now.scores.get(id_)
        is_best = loss is not None and loss == best
        role = "strong" if is_best else "text" if loss is not None else "muted"
        change = None if loss is None or base is None or id_ == BASE else loss - base
        yield (
            (left(name, room), "strong" if id_ == MERGED else "text"),
            (right(weight, _WEIGHT) if has_weights else "", "muted"),
            (right(text.number(loss), _LOSS) + (best_mark() if is_best else " "), role),
            (right(_signed(change), _CHANGE) if has_change else "", "muted"),
        )
    if said := _measured(now):
        yield from paragraph("", said, width, "muted", words="muted")


def _signed(value: float | None) -> str:
    return "" if value is None else f"{'+' if value > 0 else ''}{text.number(value)}"


def _measured(now: Merging) -> str:
    """On what, on which device."""
    found = now.held_out
    if not found.get("rows"):
        return ""
    number, tokens = whole(found["rows"]), text.number(whole(found.get("tokens")))
    parts = [
        f"{text.number(number)} row{'s' * (number != 1)} of {found.get('source')}, {tokens} tokens",
        *([str(now.started["device"])] if now.started.get("device") else []),
    ]
    return one_line(dot().join(parts))


def _written(now: Merging, found: Left, width: int) -> Iterator[Row]:
    kind = now.written.get("dtype")
    said = f"{text.size(figure(now.written.get('bytes')))}{f' of {kind}' if kind else ''}"
    said += "; adapter/ is the combined adapter alone" if found.adapter else ""
    yield from paragraph(left("written", _LABEL), said, width, "muted")
    yield from paragraph(left("in", _LABEL), now.path, width, "muted")
    if not found.model:
        said = f"It is not there any more: it was moved or deleted. {AGAIN}"
        yield from paragraph(f"{look.warning()} ", said, width, "warn")


def foot(frame: Frame[Merging], found: Left, width: int) -> Row:
    """What is done now, and since when; or how it ended."""
    now, state = frame.now, frame.state
    lasted = duration(frame.seconds) if frame.seconds else ""
    role = _ROLES.get(state, "bad")
    if state in {"starting", "running", "stopping"}:
        what_now = now.doing or ("loading its libraries" if now.started else "starting the engine")
        what_now = "stopping" if state == "stopping" else what_now
        dots = "..." if ascii_only() else "…"
        end = "leaving lets it go on"
        said = f"{glyph(state)} {what_now}{dots} {lasted}".rstrip()
        said = cut(said, width - len(end) - 2)
        gap = " " * max(2, width - width_of(said) - len(end))
        return (said + gap, "warn" if state == "stopping" else "accent"), (end, "muted")
    mark = glyph(state) if state in STATES else glyph("failed")
    when = f" {'in' if state == 'finished' else 'after'} {lasted}" if lasted else ""
    ended = ((f"{mark} {state}", role), (when, "muted"))
    if now.proof is None:
        return ended
    if found.changed:
        return (*ended, (f"   {look.warning()} of an earlier adapter", "warn"))
    said, role = proof_words.verdict(now.proof)
    return (*ended, ("   proof ", "muted"), (said, role))
