"""What the Export screen says in words: a line for each type, what is wrong, how it stands."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lora_tui.core import text
from lora_tui.core.exporting import ExportFile, Exporting
from lora_tui.core.plain import moment
from lora_tui.core.proof_figures import in_short
from lora_tui.core.text import duration, one_line
from lora_tui.tui import proof_words
from lora_tui.tui.columns import Part, cut, dot, width_of
from lora_tui.tui.export_offer import Choice, Kind, Made, Offer
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.look import STATES, ascii_only, glyph
from lora_tui.tui.widgets.painting import Row, Rows, end_of

Now = Frame[Exporting] | None
"""The export that is shown, if there was one."""

_STATES = {
    "waiting": ("queued", "waiting", "muted"),
    "writing": ("running", "writing", "accent"),
    "proving": ("running", "proving", "accent"),
    "refused": ("failed", "refused", "bad"),
    "not made": ("stopped", "not made", "muted"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """A type as the list shows it; `state` is empty while nothing came of it."""

    quant: str
    is_ticked: bool
    size: str = ""
    state: Part = ("", "")
    said: str = ""
    about: str = ""
    is_offered: bool = True


def is_live(frame: Now) -> bool:
    """Whether an export is at work."""
    return frame is not None and not frame.is_over


def lines(offer: Offer, choice: Choice, frame: Now) -> list[Line]:
    """A line for each type that is offered: those of the export shown first, then other files."""
    found = [_line(kind, offer, choice, frame) for kind in offer.kinds]

    def place(line: Line) -> int:
        return 2 if not line.state[0] else 1 if file_of(line.quant, choice, frame) is None else 0

    return sorted(found, key=place)


def _line(kind: Kind, offer: Offer, choice: Choice, frame: Now) -> Line:
    line = Line(
        kind.quant,
        kind.quant in choice.quants,
        f"~{text.size(kind.bytes)}" if kind.bytes is not None else "",
        said=kind.refused or counts(kind.types),
        about=kind.about,
        is_offered=not kind.refused,
    )
    if (made := made_of(kind.quant, offer, choice, frame)) is not None:
        size = text.size(made.file.bytes)
        return replace(line, size=size, state=came_to(made), said=_in_short(made))
    file = file_of(kind.quant, choice, frame)
    state = _state_of(file, frame)
    if file is None or not state:
        return line
    said = file.refused.get("summary", "") if state == "refused" else line.said
    size = text.size(file.bytes) if file.bytes is not None else line.size
    return replace(line, size=size, state=_state(state, frame), said=said)


def file_of(quant: str, choice: Choice, frame: Now) -> ExportFile | None:
    """The file of a type that the export shown writes, or wrote, into the folder that is chosen."""
    files = frame.now.files if frame else ()
    named = (one for one in files if one.quant == quant)
    return next((one for one in named if str(Path(one.path).parent) == choice.folder), None)


def made_of(quant: str, offer: Offer, choice: Choice, frame: Now) -> Made | None:
    """The whole file of a type: as it lies in the folder, and until that was looked at after the
    export, as the export has it."""
    file = file_of(quant, choice, frame)
    is_looked_at = not is_live(frame) and offer.choice.looks == choice.looks
    if file is None or is_looked_at:
        return offer.made.get(quant) if offer.choice.folder == choice.folder else None
    return Made(file) if file.state in {"done", "kept"} else None


def came_to(made: Made) -> Part:
    """The verdict on a file, unless it was made of something else than there is now."""
    if made.earlier:
        return proof_words.doubtful(f"of an earlier {made.earlier}")
    return proof_words.verdict(made.file.proof) if made.file.proof else ("", "")


def _state_of(file: ExportFile | None, frame: Now) -> str:
    if file is None or is_live(frame) or file.state == "refused":
        return file.state if file else ""
    return "not made" if frame and frame.state != "finished" and file.state != "waiting" else ""


def _state(name: str, frame: Now) -> Part:
    look, word, role = _STATES.get(name, _STATES["waiting"])
    share = frame.now.share if frame and name in {"writing", "proving"} else None
    return f"{glyph(look)} {word}" + (f" {100 * share:.0f}%" if share is not None else ""), role


def _in_short(made: Made) -> str:
    figures = in_short(made.file.proof) if made.file.proof else ""
    return dot().join(filter(None, (figures, date(made))))


def date(made: Made, form: str = "%d %b %H:%M") -> str:
    """When a file was made; of one that was made just now nothing."""
    return moment(made.when, form) if made.when is not None else ""


def counts(types: Mapping[str, int]) -> str:
    """Tensors by type, most first: `q5_0 168, q8_0 42`."""
    most_first = sorted(types.items(), key=lambda pair: -pair[1])
    return ", ".join(f"{one_line(name).lower()} {number:,}" for name, number in most_first)


# --- around the list ---------------------------------------------------------------------------


def head(offer: Offer, choice: Choice, width: int) -> Rows:
    """What is exported, and where to."""
    into = end_of(choice.folder, max(0, width - 5))
    return ((cut(offer.about, width), "text"),), (("into ", "muted"), (into, "text"))


def notice(offer: Offer, frame: Now, room: int) -> tuple[str, str]:
    """What is wrong, and what to do; both empty while nothing is."""
    if is_live(frame):
        return "", ""
    if offer.problems:
        more = len(offer.problems) - room
        said = [*offer.problems[:room], *([f"and {more} more"] if more > 0 else [])]
        return "This cannot be exported like that.", "\n".join(said)
    return frame.failure if frame else ("", "")


def foot(offer: Offer, choice: Choice, frame: Now, width: int) -> Row:
    """One calm line: what is done now, or what it came to, and what would be written."""
    if frame is not None and not frame.is_over:
        return _at_work(frame, width)
    end = tuple(_ended(frame, offer)) if frame else ()
    room = width - sum(width_of(said) for said, _ in end)
    wanted, is_enough = _wanted(offer, choice)
    fitting = (said for said in wanted if width_of(said) <= room)
    return (*end, (next(fitting, ""), "muted" if is_enough else "bad"))


def _at_work(frame: Frame[Exporting], width: int) -> Row:
    waiting = f" {duration(frame.seconds)}" if frame.seconds else ""
    doing = one_line(frame.now.doing) or "starting the engine"
    said = f"{glyph('running')} {doing}{'...' if ascii_only() else '…'}"
    end = "it stops" if frame.state == "stopping" else "leaving lets it go on"
    said = cut(said + waiting, width - width_of(end) - 2)
    return (said + " " * max(2, width - width_of(said + end)), "accent"), (end, "muted")


def _ended(frame: Frame[Exporting], offer: Offer) -> Iterator[Part]:
    """How it ended, and how many files came to what."""
    state = frame.state if frame.state in STATES else "failed"
    yield f"{glyph(state)} {state}", {"finished": "good", "stopped": "warn"}.get(state, "bad")
    earlier = {made.file.path: made.earlier for made in offer.made.values() if made.earlier}
    files = [one for one in frame.now.files if one.path not in earlier]
    found = [one.proof.verdict for one in files if one.proof]
    looks = proof_words.VERDICTS.items()
    counted = [*((found.count(name), word, role) for name, (_, word, role) in looks)]
    counted.append((sum(bool(one.refused) for one in files), "refused", "bad"))
    many = len(frame.now.files) - len(files)
    counted.append((many, f"of an earlier {next(iter(earlier.values()), '')}", "warn"))
    between = dot()
    for number, word, role in counted:
        if number:
            yield f"{between}{number} {word}", role
            between = ", "
    yield "  ", "muted"


def _wanted(offer: Offer, choice: Choice) -> tuple[Sequence[str], bool]:
    """What would be written, in more and in fewer words, and whether there is room for it."""
    if not choice.quants:
        return ("nothing is ticked: space ticks the type at the cursor", "nothing is ticked"), True
    total = sum(kind.bytes or 0 for kind in offer.kinds if kind.quant in choice.quants)
    said = f"{len(choice.quants)} ticked" + (f", ~{text.size(total)}" if total else "")
    if offer.free is None:
        return (said,), True
    return (f"{said}; {text.size(offer.free)} free", said), total < offer.free
