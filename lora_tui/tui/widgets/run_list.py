"""The runs, newest first, live ones on top: state, progress, loss and curve in aligned columns."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content

from lora_tui.core import states
from lora_tui.core.overview import Board
from lora_tui.core.plain import moment
from lora_tui.core.runs import Run
from lora_tui.core.series import sparkline
from lora_tui.core.summary import Headline
from lora_tui.core.text import count, duration, number, one_line
from lora_tui.tui.columns import Part, cut, dot, left, right, width_of
from lora_tui.tui.look import STATES, ascii_only, glyph
from lora_tui.tui.widgets.row_list import RowList

NO_RUNS = (
    "No runs yet. Press t to train the preset on the left:"
    " demo needs no network and takes a minute."
)

PAUSE = "Wait after this step with all in memory, or hold it in the queue; again, it goes on"
RESUME = "Go on: in place if paused, else from a checkpoint, here or as a branch, or anew"

_EARLIER, _LATER = "Let it start one place earlier", "Let it start one place later"
_STATE, _LOSS_AT_LEAST, _CURVE, _TIME = 8, 5, 6, 5
_BEGAN = len("23 Nov 14:12")
_CURVE_AT_MOST = 12  # as many points as a headline keeps
_NAME_AT_LEAST, _NAME_AT_MOST = 10, 32


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns are that depend on what stands in them."""

    name: int = _NAME_AT_LEAST
    steps: int = 7
    loss: int = _LOSS_AT_LEAST


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run; without a headline it has not been read yet."""

    run: Run
    line: Headline | None
    columns: Columns
    place: int = 0
    """In the queue, from 1 on."""

    @property
    def key(self) -> str:
        return self.run.id

    def content(self, width: int) -> Content:
        """As much as has room: the time gives way last, before it the loss, then the curve."""
        line = self.line
        if line is None:
            return Content.assemble(("  " + cut(self.run.id, width - 2), "$foreground-muted"))
        widths = self._widths(width)
        colour = STATES[line.state].colour
        start: list[Part] = [
            (f"{glyph(line.state)} ", colour),
            (left(line.name, widths["name"]), "$text"),
            (f" {left(line.state, _STATE)} ", colour),
        ]
        if line.failure:
            room = width - 2 - widths["name"] - _STATE - 2
            return Content.assemble(
                *start, (cut(line.failure["summary"], room), "$foreground-muted")
            )
        if line.ticket:
            return Content.assemble(
                *start, (right(_place(line, self.place), self.columns.steps), "$foreground-muted")
            )
        start.append((right(steps(line), self.columns.steps), "$text"))
        if "loss" in widths:
            start.append((" " + right(loss(line), widths["loss"]), "$text"))
        if "curve" in widths:
            curve = sparkline(line.curve, widths["curve"], ascii_only=ascii_only())
            start.append((" " + left(curve, widths["curve"]), colour))
        if "time" in widths:
            elapsed = duration(line.elapsed) if line.elapsed is not None else ""
            start.append((" " + right(elapsed, _TIME), "$foreground-muted"))
        if "began" in widths and line.created is not None:
            began = moment(line.created, "%d %b %H:%M")
            start.append((" " + right(began, widths["began"]), "$foreground-muted"))
        return Content.assemble(*start)

    def _widths(self, width: int) -> dict[str, int]:
        """The width of each column that has room beside glyph, state and steps."""
        room = width - 2 - _STATE - 2 - self.columns.steps
        widths: dict[str, int] = {}
        for name, needed in (("time", _TIME), ("loss", self.columns.loss), ("curve", _CURVE)):
            if room - needed - 1 < _NAME_AT_LEAST:
                break
            widths[name] = needed
            room -= needed + 1
        widths["name"] = max(1, min(room, self.columns.name))
        if "curve" in widths:
            room -= widths["name"]
            longer = min(room, _CURVE_AT_MOST - _CURVE)
            widths["curve"] += longer
            if room - longer > _BEGAN:
                widths["began"] = room - longer - 1
        return widths


def steps(line: Headline) -> str:
    """Progress: 312/500, or in thousands when that is long."""
    if not line.step and line.max_steps is None:
        return ""
    show = count if max(line.step, line.max_steps or 0) >= 10_000 else str
    most = f"/{show(line.max_steps)}" if line.max_steps is not None else ""
    return f"{show(line.step)}{most}"


def _place(line: Headline, place: int) -> str:
    """Where in the queue a run stands."""
    return "held" if line.ticket and line.ticket.held else f"#{place}"


def loss(line: Headline) -> str:
    """The latest loss, with all its digits: a number that is cut says something else."""
    return "" if line.loss is None else number(line.loss)


def rows_of(board: Board, wanted: str = "") -> list[RunRow]:
    """The rows of a board whose id, name or state holds `wanted`."""
    pairs = [(run, board.lines.get(run)) for run in board.runs]
    fitting = [
        (run, line) for run, line in pairs if not wanted or _holds(wanted.lower(), run, line)
    ]
    lines = [line for _, line in fitting if line is not None]
    longest = max((width_of(one_line(line.name)) for line in lines), default=0)
    columns = Columns(
        name=min(_NAME_AT_MOST, max(_NAME_AT_LEAST, longest)),
        steps=max(
            (
                len("held") if line.ticket else len(steps(line))
                for line in lines
                if not line.failure
            ),
            default=7,
        ),
        loss=max((_LOSS_AT_LEAST, *(len(loss(line)) for line in lines if not line.failure))),
    )
    queued = [run for run, line in pairs if line is not None and line.ticket]
    places = {run: place for place, run in enumerate(queued, 1)}
    return [RunRow(run, line, columns, places.get(run, 0)) for run, line in fitting]


def changes(line: Headline | None) -> set[str]:
    """What can be done to a run now."""
    if line is None:
        return set()
    found = {"stop"} if line.state in states.STOPPABLE else set()
    if not line.is_live:
        found.add("delete")
    if line.ticket:
        found |= {"earlier", "later"}
    if line.state in states.PAUSABLE:
        found.add("pause")
    if line.state in {*states.RESUMABLE, "finished"}:  # a finished one as a branch
        found.add("resume")
    return found


def _holds(wanted: str, run: Run, line: Headline | None) -> bool:
    texts: Sequence[str] = (run.id, line.name, line.state) if line else (run.id,)
    return any(wanted in text.lower() for text in texts)


class RunList(RowList):
    """The list of runs, some of them marked; what its other keys do is up to the screen."""

    HELP = "Runs, newest first; those that are being worked on stand on top."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "open", tooltip="Watch the run, or look at how it went"),
        Binding("space", "mark", "mark", tooltip="Mark it, or take its mark away"),
        Binding("c", "screen.compare", "compare", tooltip="The marked runs, or this one alone"),
        Binding(
            "S",
            "screen.change_run('stop')",
            "stop",
            tooltip="End it after this step; it saves first",
        ),
        Binding("P", "screen.change_run('pause')", "pause", tooltip=PAUSE),
        Binding("<", "screen.change_run('earlier')", "earlier", key_display="<", tooltip=_EARLIER),
        Binding(">", "screen.change_run('later')", "later", key_display=">", tooltip=_LATER),
        Binding("m", "screen.merge", "merge", tooltip="The marked runs' adapters, or this one's"),
        Binding("e", "screen.export", "export", tooltip="Write this run's result as GGUF files"),
        Binding("R", "screen.change_run('resume')", "resume", tooltip=RESUME),
        Binding("x", "screen.change_run('delete')", "delete", tooltip="Remove it and all it made"),
        Binding("delete", "screen.change_run('delete')", "delete", show=False),
        Binding("a", "screen.ask", "ask", tooltip="Chat with the marked runs, or this one"),
        Binding("tab", "screen.other_list", "presets"),
        Binding("l", "screen.open_log", "log", tooltip="Everything its engine printed"),
        Binding("escape", "screen.unmark", "unmark", show=False, tooltip="Take all marks away"),
    ]

    def __init__(self, *, classes: str | None = None) -> None:
        """An empty list without marks."""
        super().__init__(classes=classes)
        self.marked: frozenset[str] = frozenset()
        self._titled: tuple[str, str, int | None] = ("", "", None)

    def action_mark(self) -> None:
        """Mark the run at the cursor, or take its mark away, and go on to the next."""
        if self.chosen is not None:
            self._set_marks(self.marked ^ {self.chosen})
            if self.highlighted is not None and self.highlighted < len(self._rows) - 1:
                self.action_cursor_down()

    def unmark(self) -> None:
        """Take all marks away."""
        self._set_marks(frozenset())

    def keep_marks(self, keys: Iterable[str]) -> None:
        """Runs that are gone lose their marks."""
        self._set_marks(self.marked & frozenset(keys))

    def _set_marks(self, marked: frozenset[str]) -> None:
        changed, self.marked = self.marked ^ marked, marked
        for place, row in enumerate(self._rows):
            if row.key in changed:
                self.refresh_line(place)
        if changed:
            self.set_title(*self._titled)
            self.screen.refresh_bindings()

    def set_title(self, name: str, wanted: str = "", of: int | None = None) -> None:
        self._titled = name, wanted, of
        number = f"{dot()}{len(self.marked)} marked" if self.marked else ""
        super().set_title(f"{name}{number}", wanted, of)

    def _get_left_gutter_width(self) -> int:
        return 2

    def marks_before(self, place: int) -> str:
        sign = "M" if ascii_only() else "◆"
        return super().marks_before(place) + (sign if self._rows[place].key in self.marked else " ")
