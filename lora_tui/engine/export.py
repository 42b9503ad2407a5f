"""An export: one conversion, every type quantised from it, and each file proven."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import export_check, export_files, export_tools, quantisation, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import ExportFile, ExportPlan
from lora_tui.core.files import private_folder
from lora_tui.core.parameters import read_config
from lora_tui.core.quantisation import QUANTS
from lora_tui.core.safetensors import read_model
from lora_tui.engine import export_use, job
from lora_tui.engine.job import Job, with_torch


def main(folder: Path) -> int:
    """Export what `run.json` in `folder` names; the events say what becomes of each file."""
    return job.execute(folder, work)


def work(begun: Job) -> None:
    """Make what is not made yet; what cannot be made is refused by name, and the rest goes on."""
    options = runs.read_info(begun.run).get("options") or {}
    plan = ExportPlan.from_document(options)
    export = Export(begun, plan, has_rows=bool(options.get("has_rows")))
    tools = export_tools.find()
    folder = private_folder(Path(plan.folder))
    export_files.clear_dead(folder, begun.run.path.parent)
    fingerprint = export_check.fingerprint(plan, tools)
    pending = export.pending(fingerprint)
    if pending:
        current = with_torch(begun)
        from lora_tui.engine.export_making import Making  # brings PEFT and transformers

        Making(current, export, tools, fingerprint).make(pending)
    export_use.describe(begun, plan, export.made, is_new=bool(pending))
    begun.end("finished")


class Export:
    """What of an export is known and made so far, and the events that tell it."""

    def __init__(self, begun: Job, plan: ExportPlan, *, has_rows: bool) -> None:
        """Say what is to be made.

        Args:
            begun: Whose events.
            plan: What is asked for.
            has_rows: Whether the data that the member was trained on is known.
        """
        self.job, self.plan, self.has_rows = begun, plan, has_rows
        self.quants = tuple(dict.fromkeys(plan.quants))
        self.asked = {"rows": plan.rows, "data": repr(begun.preset.data) if has_rows else ""}
        self.made: dict[str, ExportFile] = {}
        self.sizes = self._sizes()
        files = [
            {"quant": quant, "path": str(plan.path(quant)), "estimate": self.sizes.get(quant)}
            for quant in self.quants
        ]
        begun.emit("exporting", name=plan.member.name, files=files)

    def _sizes(self) -> dict[str, int | None]:
        """About how large each file becomes, and what they may be made from."""
        try:
            folder = export_check.source_of(self.plan.member)
            if folder is None:
                return {}
            tensors, config = read_model(folder), read_config(folder)
        except LoraTuiError:  # said when it is converted
            return {}
        return {
            quant: quantisation.plan(tensors, config, quant, has_matrix=self.has_rows).bytes
            for quant in {*self.quants, "f32", "f16", "bf16"} & QUANTS.keys()
        }

    def pending(self, fingerprint: Mapping[str, Any]) -> list[str]:
        """What is to be made; what stands from before, with a proof that it passed, is kept."""
        for quant in () if self.plan.again or not fingerprint else self.quants:
            kept = export_files.made(self.plan.path(quant), fingerprint)
            is_proven = kept is not None and kept.proof is not None and kept.proof.passed
            if kept and is_proven and kept.quant == quant and self._suffices(quant):
                self.made[quant] = kept
                self.tell(kept, kept=True)
        return [quant for quant in self.quants if quant not in self.made]

    def _suffices(self, quant: str) -> bool:
        """Whether a file was proven on as many rows, and rounded by the same ones, as is asked."""
        asked = export_files.asked_of(self.plan.path(quant))
        if asked.get("rows", self.plan.rows) < self.plan.rows:
            return False
        is_rounded = quant in QUANTS and bool(QUANTS[quant].matrix)
        return not is_rounded or asked.get("data", self.asked["data"]) == self.asked["data"]

    def tell(self, file: ExportFile, *, kept: bool = False) -> None:
        """Say that a file is whole, and how it was proven if it was."""
        self.job.emit(
            "file",
            quant=file.quant,
            bytes=file.bytes,
            types=dict(file.types),
            seconds=file.seconds,
            **({"kept": True} if kept else {}),
        )
        if file.proof is not None:
            self.job.emit("proof", quant=file.quant, **file.proof.document())

    def refuse(self, quant: str, summary: str, hint: str = "") -> None:
        """Say why a file is not made."""
        self.job.emit("refused", quant=quant, summary=summary, hint=hint)
