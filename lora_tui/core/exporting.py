"""An export: what is written as GGUF, and its events folded into what its screen and JSON show."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lora_tui.core import events
from lora_tui.core.events import Event, whole
from lora_tui.core.files import slug
from lora_tui.core.folding import Folding as Folds
from lora_tui.core.members import Member
from lora_tui.core.proofs import Proof
from lora_tui.core.runs import Run

LORA = "lora"
"""In place of a quantisation: the adapter alone, as llama.cpp loads it beside a base."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """What is exported, and as what.

    Attributes:
        member: An adapter (`lora`), a fully trained model (`full`), or any model's folder (`base`).
        quants: llama.cpp's names in lower case, as `f16` or `q4_k_m`; `LORA` for the adapter alone.
        folder: Where the files go.
        rows: The most held-out rows that a proof measures on.
        again: Whether what was exported and proven before is made anew.
    """

    member: Member
    quants: tuple[str, ...]
    folder: str
    rows: int = 200
    again: bool = False

    def document(self) -> dict[str, Any]:
        """As the engine is told."""
        names = ("quants", "folder", "rows", "again")
        return {
            "member": self.member.document(),
            **{name: getattr(self, name) for name in names},
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ExportPlan":
        """The plan that `document()` wrote."""
        return cls(
            member=Member.from_document(document["member"]),
            quants=tuple(document["quants"]),
            folder=str(document["folder"]),
            rows=int(document["rows"]),
            again=bool(document["again"]),
        )

    def path(self, quant: str) -> Path:
        """The final name of a file: `<name>-<QUANT>.gguf`."""
        return Path(self.folder) / f"{slug(Path(self.member.name).name)}-{quant.upper()}.gguf"


@dataclass(frozen=True, slots=True)
class ExportFile:
    """One file of an export.

    `state` is `waiting`, `writing`, `proving`, `done`, `kept` (made and proven before) or
    `refused`. `types` counts tensors by their ggml type, as the file itself has them.
    """

    quant: str
    path: str = ""
    state: str = "waiting"
    estimate: int | None = None
    bytes: int | None = None
    types: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    proof: Proof | None = None
    refused: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """As `export --json` prints it."""
        return {
            "quant": self.quant,
            "path": self.path,
            "bytes": self.bytes,
            "types": dict(self.types),
            "proof": self.proof.document() if self.proof else None,
            "kept": self.state == "kept",
            "refused": dict(self.refused) or None,
        }


@dataclass(frozen=True, slots=True)
class Exporting:
    """One moment of an export. `share` is how far what is done is, from 0 to 1, where known."""

    name: str = ""
    files: tuple[ExportFile, ...] = ()
    doing: str = ""
    share: float | None = None
    modelfile: str = ""
    command: str = ""
    warnings: tuple[str, ...] = ()
    started: Mapping[str, Any] = field(default_factory=dict)
    ended: str = ""

    @property
    def verdicts(self) -> list[str]:
        """What the proofs came to."""
        return [one.proof.verdict for one in self.files if one.proof]

    def document(self) -> dict[str, Any]:
        """As `export --json` prints it."""
        return {
            "name": self.name,
            "files": [one.document() for one in self.files],
            "modelfile": self.modelfile or None,
            "command": self.command or None,
            "warnings": list(self.warnings),
        }


@dataclass(slots=True)
class Folding(Folds[Exporting]):
    """An export's events, folded.

    Kinds: `exporting` (name, files: each with quant, path and perhaps estimate), `started`, `doing`
    (what, and perhaps quant and share), `file` (quant, bytes, types, seconds; kept if it was made
    before), `proof` (quant, and as `Proof.document`), `refused` (quant, summary, hint), `use`
    (modelfile, command), `warning` (text), and the final ones.
    """

    now: Exporting = field(default_factory=Exporting)

    def _on_exporting(self, event: Event) -> None:
        files = tuple(
            ExportFile(str(one["quant"]), str(one["path"]), estimate=whole(one.get("estimate")))
            for one in event["files"]
        )
        self.now = replace(self.now, name=str(event["name"]), files=files)

    def _on_started(self, event: Event) -> None:
        self.now = replace(self.now, started=event)

    def _on_doing(self, event: Event) -> None:
        share = event.get("share")
        share = float(share) if isinstance(share, int | float) else None
        self.now = replace(self.now, doing=str(event["what"]), share=share)
        if event.get("state"):
            self._change(event, state=str(event["state"]))

    def _on_file(self, event: Event) -> None:
        self._change(
            event,
            state="kept" if event.get("kept") else "proving",
            bytes=whole(event["bytes"]),
            types=dict(event.get("types") or {}),
            seconds=event.get("seconds"),
        )

    def _on_proof(self, event: Event) -> None:
        document = {name: value for name, value in event.items() if name != "quant"}
        kept = any(one.quant == event["quant"] and one.state == "kept" for one in self.now.files)
        state = "kept" if kept else "done"
        self._change(event, state=state, proof=Proof.from_document(document))

    def _on_refused(self, event: Event) -> None:
        refused = {"summary": str(event["summary"]), "hint": str(event.get("hint", ""))}
        self._change(event, state="refused", refused=refused)

    def _change(self, event: Event, **changes: Any) -> None:
        files = tuple(
            replace(one, **changes) if one.quant == event["quant"] else one
            for one in self.now.files
        )
        self.now = replace(self.now, files=files)

    def _on_use(self, event: Event) -> None:
        self.now = replace(
            self.now, modelfile=str(event["modelfile"]), command=str(event.get("command", ""))
        )

    def _on_warning(self, event: Event) -> None:
        self.now = replace(self.now, warnings=(*self.now.warnings, str(event["text"])))

    def _end(self, event: Event) -> None:
        self.now = replace(self.now, doing="", share=None, ended=str(event["kind"]))

    _on_finished = _on_failed = _on_stopped = _end


def read(run: Run) -> Exporting:
    """An export as it stands on disk."""
    folding = Folding()
    for batch in events.batches(run.events):
        folding.fold(batch)
    return folding.now
