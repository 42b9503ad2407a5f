"""What the training screen says in words: its title line, its notices, its last line."""

from lora_tui.core import text
from lora_tui.core.events import figure
from lora_tui.core.summary import failure
from lora_tui.tui import look
from lora_tui.tui.columns import cut, dot, width_of
from lora_tui.tui.look import STATES, glyph
from lora_tui.tui.watching import Frame
from lora_tui.tui.widgets.painting import Row, end_of

_ROLES = {
    "$foreground-muted": "muted",
    "$text-primary": "accent",
    "$text-warning": "warn",
    "$text-success": "good",
    "$text-error": "bad",
}


def title(frame: Frame, width: int) -> Row:
    """Name, model, method, share trained and backend as far as they fit; the state at the right."""
    state = f"{glyph(frame.state)} {frame.state}"
    room = width - width_of(state) - 2
    facts = _facts(frame)
    for spare in ("", "device", "total", "backend", "model", "trained", "method"):
        facts.pop(spare, None)
        if spare == "total" and "trained" in facts:
            facts["trained"] = facts["trained"].partition(" of ")[0] + " trained"
        words = dot() + dot().join(facts.values()) if facts else ""
        name = cut(frame.about.name, max(8, room - width_of(words)))
        if width_of(name) + width_of(words) <= room and (name == frame.about.name or not facts):
            break
    gap = " " * max(1, width - width_of(name) - width_of(words) - width_of(state))
    return (name, "strong"), (words + gap, "muted"), (state, _ROLES[STATES[frame.state].colour])


def _facts(frame: Frame) -> dict[str, str]:
    moment, found = frame.snapshot, {}
    if frame.about.model:
        found["model"] = cut(frame.about.model.rstrip("/").rpartition("/")[2], 32)
    if frame.about.method:
        found["method"] = frame.about.method
    trainable = figure(moment.fact("model", "trainable_parameters"))
    total = figure(moment.fact("model", "total_parameters"))
    if trainable is not None and total:
        share = text.share(trainable / total)
        found["trained"] = f"{text.count(trainable)} of {text.count(total)} trained ({share})"
    for name in ("backend", "device"):
        if isinstance(said := moment.fact("started", name), str):
            found[name] = cut(said, 24)
    return found


_THEN = {"stop": "saves", "pause": "waits"}


def notice(frame: Frame) -> tuple[str, str] | None:
    """What has to be read before anything else: a summary, and what to do about it."""
    if frame.about.is_newer:
        return (
            "This run was made by a newer lora-tui.",
            "What is shown may be incomplete: update this installation to see all of it.",
        )
    if frame.unreadable:
        return (
            "This run's events are missing or cannot be read.",
            f"{frame.unreadable} should hold them. The engine's log (g) may say more.",
        )
    reason = failure(frame.state, frame.snapshot)
    if reason is None:
        return None
    hint = text.printable(reason["hint"])
    if frame.state == "crashed":
        saved = frame.last_checkpoint
        place = "the beginning" if saved is None else f"the checkpoint of step {saved:,}"
        words = [f"R goes on from {place}."]
        if frame.last_words:
            words = [f"{words[0]} The last lines of its log (g shows all):", *frame.last_words]
        hint = "\n".join(words)
    return text.printable(reason["summary"]) or "It failed without a reason.", hint


def foot(frame: Frame, width: int, *, asked: str) -> Row:
    """One calm line: saving, where the result is, or the latest warning; empty when all is well.

    `asked` is what the user asked for and the run has not done yet: `stop`, `pause` or nothing.
    """
    mark = look.warning()
    if frame.state == "stopping":
        return (("saving, please wait", "warn"), ("  s again ends it at once, unsaved", "muted"))
    if frame.state == "paused":
        return (
            ("paused: all stays in memory", "warn"),
            ("  p or R goes on, s saves and ends it", "muted"),
        )
    if frame.standing:
        keys = "p releases it" if frame.standing.startswith("held") else "p holds it"
        return (
            (cut(frame.standing, max(0, width - 36)), "text"),
            (f"  {keys}, s takes it out", "muted"),
        )
    if asked and frame.state in {"starting", "running"}:
        return ((f"asked to {asked}: the step ends, then it {_THEN[asked]}", "warn"),)
    warnings = frame.snapshot.warnings
    number = "1 warning" if len(warnings) == 1 else f"{len(warnings)} warnings"
    if frame.result:
        warned = f"{mark} {number}" if warnings else ""
        room = max(0, width - len("kept in ") - len(warned) - 2)
        path = end_of(frame.result, room)
        gap = " " * max(1, width - len("kept in ") - width_of(path) - len(warned))
        return ("kept in ", "muted"), (path + gap, "text"), (warned, "warn")
    if warnings:
        return (f"{mark} {number}  ", "warn"), (
            cut(warnings[-1], max(0, width - len(number) - 4)),
            "muted",
        )
    return ()


def samples(frame: Frame) -> str:
    """What the base and the tuned model say, the latest first."""
    said = []
    for fact in reversed(frame.snapshot.samples):
        lines = [f"step {fact['step']}"] if "step" in fact else []
        for name, value in fact.items():
            if name not in {"t", "kind", "step"} and isinstance(value, str):
                lines += [f"{name}:", *(f"  {line}" for line in value.splitlines())]
        said.append("\n".join(lines))
    return text.printable("\n\n".join(said))
