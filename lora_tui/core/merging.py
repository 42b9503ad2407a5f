"""A merge: what goes into it, and its events folded into what its screen and JSON show."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_tui.core import events, export_files
from lora_tui.core.events import Event, figure
from lora_tui.core.folding import Folding as Folds
from lora_tui.core.members import Member
from lora_tui.core.parameters import model_folder
from lora_tui.core.proofs import Proof
from lora_tui.core.runs import Run

METHODS = {
    "linear": "A and B are each averaged; ranks must be equal",
    "cat": "the exact weighted sum of the updates; ranks add up",
    "svd": "the weighted sum of the updates, cut to a rank",
    "ties": "the largest entries, with their signs voted on; ranks must be equal",
    "dare_linear": "entries dropped at random, the rest averaged; ranks must be equal",
    "dare_ties": "entries dropped at random, signs voted on; ranks must be equal",
    "magnitude_prune": "the largest entries, averaged; ranks must be equal",
}
"""How several adapters become one: PEFT's names (`combination_type`), and what each does."""

DENSE = frozenset({"ties", "dare_linear", "dare_ties", "magnitude_prune"})
"""The methods that keep only a share of the entries: their `density`."""

REPORT = "merge.json"
"""Beside every merged model: what it was made of, and its proof."""

DTYPES = ("auto", "bfloat16", "float16", "float32")
"""The number format a merged model is written in; `auto` is the base's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergePlan:
    """What is merged, and how.

    Attributes:
        members: The adapters, of one base.
        weights: One for each; 1 for a single adapter.
        method: One of `METHODS`; of no meaning for a single adapter.
        density: The share of the entries that the methods in `DENSE` keep.
        rank: Of the result of `svd`; 0 for the largest of the adapters'.
        seed: Of what `dare_*` drop.
        dtype: One of `DTYPES`.
        rows: The most held-out rows that are measured on.
    """

    members: tuple[Member, ...]
    weights: tuple[float, ...] = (1.0,)
    method: str = "linear"
    density: float = 0.5
    rank: int = 0
    seed: int = 0
    dtype: str = "auto"
    rows: int = 64

    def document(self) -> dict[str, Any]:
        """As the engine is told."""
        names = ("method", "density", "rank", "seed", "dtype", "rows")
        return {
            **{name: getattr(self, name) for name in names},
            "members": [member.document() for member in self.members],
            "weights": list(self.weights),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "MergePlan":
        """The plan that `document()` wrote."""
        return cls(
            members=tuple(Member.from_document(one) for one in document["members"]),
            weights=tuple(float(weight) for weight in document["weights"]),
            **{
                name: document[name]
                for name in ("method", "density", "rank", "seed", "dtype", "rows")
            },
        )


@dataclass(frozen=True, slots=True)
class Merging:
    """One moment of a merge.

    `scores` are held-out losses in nats by member id, with "base" and "merged" beside the parents;
    `digests` are of the adapters as they were, by member id.
    """

    members: tuple[Member, ...] = ()
    weights: tuple[float, ...] = ()
    method: str = ""
    path: str = ""
    doing: str = ""
    held_out: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    written: Mapping[str, Any] = field(default_factory=dict)
    proof: Proof | None = None
    warnings: tuple[str, ...] = ()
    started: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def proof_of(self) -> str:
        """What the proof asks, in a sentence: nobody can prove that a method combines well."""
        if not self.method:
            return "The proof asks whether the weights are those of the base with the adapter."
        if self.method == "cat":
            return (
                "The proof asks whether the weights are those of the base plus the weighted sum of "
                "the adapters' updates."
            )
        return (
            f"The proof asks whether the adapter that {self.method} made is in the base as it is; "
            f"not what {self.method} kept of each adapter, which their losses tell."
        )

    def document(self) -> dict[str, Any]:
        """As `merge --json` prints it and `merge.json` beside the result holds it."""
        return {
            "path": self.path,
            "members": [member.document() for member in self.members],
            "weights": list(self.weights),
            "method": self.method or None,
            "digests": dict(self.digests),
            "held_out": {name: self.held_out.get(name) for name in ("source", "rows", "tokens")},
            "scores": dict(self.scores),
            "bytes": self.written.get("bytes"),
            "dtype": self.written.get("dtype"),
            "proof": self.proof.document() if self.proof else None,
            "proof_of": self.proof_of if self.proof else None,
            "warnings": list(self.warnings),
        }


@dataclass(slots=True)
class Folding(Folds[Merging]):
    """A merge's events, folded.

    Kinds: `merging` (members, weights, method, digests, path), `started`, `doing` (what),
    `held_out` (source, rows, tokens), `scored` (id, held_out_loss), `written` (bytes, dtype),
    `proof` (as `Proof.document`), `warning` (text), and the final ones.
    """

    now: Merging = field(default_factory=Merging)

    def _on_merging(self, event: Event) -> None:
        self.now = replace(
            self.now,
            members=tuple(Member.from_document(one) for one in event["members"]),
            weights=tuple(float(weight) for weight in event["weights"]),
            method=str(event["method"]),
            digests=dict(event.get("digests") or {}),
            path=str(event["path"]),
        )

    def _on_started(self, event: Event) -> None:
        self.now = replace(self.now, started=event)

    def _on_doing(self, event: Event) -> None:
        self.now = replace(self.now, doing=str(event["what"]))

    def _on_held_out(self, event: Event) -> None:
        self.now = replace(self.now, held_out=event)

    def _on_scored(self, event: Event) -> None:
        if (loss := figure(event["held_out_loss"])) is not None:
            self.now = replace(self.now, scores={**self.now.scores, str(event["id"]): loss})

    def _on_written(self, event: Event) -> None:
        self.now = replace(self.now, written=event)

    def _on_proof(self, event: Event) -> None:
        self.now = replace(self.now, proof=Proof.from_document(event))

    def _on_warning(self, event: Event) -> None:
        self.now = replace(self.now, warnings=(*self.now.warnings, str(event["text"])))

    def _end(self, event: Event) -> None:
        self.now = replace(self.now, doing="", ended=str(event["kind"]))

    _on_finished = _on_failed = _on_stopped = _end


def read(run: Run) -> Merging:
    """A merge as it stands on disk."""
    folding = Folding()
    for batch in events.batches(run.events):
        folding.fold(batch)
    return folding.now


def digest(member: Member) -> str:
    """Of an adapter as it is now; empty where it cannot be read."""
    try:
        folder = model_folder(member.path) or Path(member.path)
        return export_files.origin(folder, None)["adapter"]
    except OSError:
        return ""


def changed(made: Merging) -> list[Member]:
    """The adapters that are no longer what a merge was made of; reads them whole."""
    return [
        member
        for member in made.members
        if (before := made.digests.get(member.id)) and digest(member) not in {"", before}
    ]
