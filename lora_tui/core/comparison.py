"""A comparison's events folded into what its screen, its files and the command line show."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lora_tui.core import events
from lora_tui.core.events import Event, figure
from lora_tui.core.folding import Folding as Folds
from lora_tui.core.members import BASE, Member
from lora_tui.core.runs import Run


@dataclass(frozen=True, slots=True)
class Column:
    """What is known of one member.

    `show` is what `show --json` says of its run, `preset` the run's preset as a document; both are
    empty for a base and for what was made elsewhere. `figures` are what the comparison measured:
    see `MEASURED`. `refused` says why it could not be measured, empty if it was or still will be.
    """

    member: Member
    show: Mapping[str, Any] = field(default_factory=dict)
    preset: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_base(self) -> bool:
        """Whether it is what the others were made from."""
        return self.member.method == BASE

    def figure(self, name: str) -> Any:
        """A measured figure, or None."""
        return self.figures.get(name)


MEASURED = (
    "held_out_loss",  # mean over the trained tokens of the common held-out rows, nats
    "perplexity",
    "kl_from_base",  # mean KL(member || base) of next tokens along the base's answers, nats
    "changed_share",  # of the prompts: greedy answers that are not the base's
    "scores",  # {name: 0..1} by the data's task
    "update_norms",  # {"layers": [Frobenius norm], "relative": [over the base's own], "other"}
    "base_bytes",  # a base's own weights on disk; merged, an adapter has the same size
    "adapter_bytes",  # of the weights file
    "trainable_parameters",
    "total_parameters",
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt and what each member answered to it; `changed` where it is not the base's."""

    text: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Comparison:
    """One moment of a comparison. `doing` is what is measured now: a member's id and words."""

    columns: tuple[Column, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    held_out: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    doing: tuple[str, str] = ("", "")
    started: Mapping[str, Any] = field(default_factory=dict)
    dtype: str = ""
    ended: str = ""

    def column(self, id_: str) -> Column | None:
        """The column of a member."""
        return next((column for column in self.columns if column.member.id == id_), None)

    def base_of(self, column: Column) -> Column | None:
        """The column of the base that a member was made from."""
        key = (column.member.base, column.member.revision)
        return next(
            (
                one
                for one in self.columns
                if one.is_base and (one.member.base, one.member.revision) == key
            ),
            None,
        )


@dataclass(slots=True)
class Folding(Folds[Comparison]):
    """Takes in a comparison's events."""

    now: Comparison = field(default_factory=Comparison)

    def _on_members(self, event: Event) -> None:
        columns = tuple(
            Column(
                Member.from_document(one["member"]),
                _table(one.get("show")),
                _tables(one.get("preset")),
            )
            for one in event["members"]
        )
        self.now = replace(self.now, columns=columns, settings=event.get("settings", {}))

    def _on_started(self, event: Event) -> None:
        self.now = replace(self.now, started=event)

    def _on_loaded(self, event: Event) -> None:
        self.now = replace(self.now, dtype=str(event.get("dtype", "")))

    def _on_held_out(self, event: Event) -> None:
        self.now = replace(self.now, held_out=event)

    def _on_prompts(self, event: Event) -> None:
        self.now = replace(self.now, prompts=tuple(Prompt(str(text)) for text in event["prompts"]))

    def _on_doing(self, event: Event) -> None:
        self.now = replace(self.now, doing=(str(event.get("id", "")), str(event.get("what", ""))))

    def _on_measured(self, event: Event) -> None:
        figures = {name: event[name] for name in MEASURED if _is_sound(name, event.get(name))}
        self._change(event, lambda column: replace(column, figures={**column.figures, **figures}))

    def _on_noted(self, event: Event) -> None:
        self._change(
            event,
            lambda column: replace(column, warnings=(*column.warnings, str(event["text"]))),
        )

    def _on_refused(self, event: Event) -> None:
        refused = {"summary": str(event["summary"]), "hint": str(event.get("hint", ""))}
        self._change(event, lambda column: replace(column, refused=refused))

    def _change(self, event: Event, change: Callable[[Column], Column]) -> None:
        columns = tuple(
            change(column) if column.member.id == event.get("id") else column
            for column in self.now.columns
        )
        self.now = replace(self.now, columns=columns)

    def _on_output(self, event: Event) -> None:
        at, id_ = event["prompt"], event["id"]
        before = self.now.prompts[at]
        changed = before.changed | {id_} if event.get("changed") else before.changed
        prompt = replace(
            before, outputs={**before.outputs, id_: str(event["text"])}, changed=changed
        )
        prompts = (*self.now.prompts[:at], prompt, *self.now.prompts[at + 1 :])
        self.now = replace(self.now, prompts=prompts)

    def _on_warning(self, event: Event) -> None:
        self.now = replace(self.now, warnings=(*self.now.warnings, str(event.get("text", ""))))

    def _end(self, event: Event) -> None:
        self.now = replace(self.now, doing=("", ""), ended=str(event["kind"]))

    _on_finished = _on_failed = _on_stopped = _end


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tables(value: Any) -> Mapping[str, Any]:
    """A preset's tables."""
    return {name: part for name, part in _table(value).items() if isinstance(part, Mapping)}


def _is_sound(name: str, value: Any) -> bool:
    """Whether a figure has the form it is said to have: a file may hold anything."""
    if name == "scores":
        return isinstance(value, Mapping)
    if name != "update_norms":
        return figure(value) is not None
    parts = _table(value)
    lists = [parts.get(part) for part in ("layers", "relative")]
    return figure(parts.get("other")) is not None and all(
        isinstance(norms, list) and all(figure(norm) is not None for norm in norms)
        for norms in lists
    )


def read(run: Run) -> Comparison:
    """A comparison as it stands on disk."""
    folding = Folding()
    for batch in events.batches(run.events):
        folding.fold(batch)
    return folding.now
