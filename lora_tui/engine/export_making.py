"""Making the files of an export: converted once, quantised, read back, proven, named."""

import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_tui.core import export_files, export_limits, gguf
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.export_tools import Tools
from lora_tui.core.exporting import LORA, ExportFile
from lora_tui.core.gguf import Head
from lora_tui.core.parameters import model_folder
from lora_tui.core.proofs import FAIL, UNKNOWN, Proof
from lora_tui.core.quantisation import NEEDED, QUANTS, Quant
from lora_tui.engine import converter, export_source, failures, gguf_proof, importance, quantiser
from lora_tui.engine.export import Export
from lora_tui.engine.export_reference import Reference
from lora_tui.engine.importance import Matrix
from lora_tui.engine.job import TorchJob

_PACE = 0.5  # seconds between two shares that are told


@dataclass(frozen=True, slots=True)
class First:
    """The conversion that the others are made from, and how it was proven."""

    quant: Quant
    path: Path
    proof: Proof


class Making:
    """Makes one file after another; what fails is refused by name."""

    def __init__(
        self, job: TorchJob, export: Export, tools: Tools, fingerprint: Mapping[str, Any]
    ) -> None:
        """Nothing is made yet.

        Args:
            job: Where it is computed.
            export: What is made and told so far.
            tools: By what.
            fingerprint: What it is made from.
        """
        self.job, self.export, self.plan = job, export, export.plan
        self.tools, self.fingerprint = tools, fingerprint
        self.trust = job.preset.model.trust_remote_code
        self._reference: Reference | None = None
        self._matrix: Matrix | LoraTuiError | None = None
        self._told = 0.0

    def make(self, quants: list[str]) -> None:
        """Make files of these types, in order; the one that the others come from is first.

        Raises:
            LoraTuiError: the model cannot be converted, so that none of them is made.
        """
        export_source.clear_dead(self.job.run.path.parent)
        try:
            if LORA in quants:
                with self._refusing(LORA):
                    self._adapter()
            wanted = [quant for quant in quants if quant != LORA]
            if wanted:
                first = self._first(wanted)
                for quant in wanted:
                    if quant != first.quant.name and quant not in self.export.made:
                        with self._refusing(quant):
                            self._quantised(QUANTS[quant], first)
        finally:
            if self._reference is not None:
                self._reference.close()
            export_files.clear(Path(self.plan.folder), self.job.run.id)

    @contextmanager
    def _refusing(self, quant: str) -> Iterator[None]:
        """One file that cannot be made does not keep the others."""
        self.job.stop.check()
        try:
            with export_source.room(Path(self.plan.folder)):
                yield
        except Exception as error:  # whatever a library raises is said of this file
            print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
            self._part(quant).unlink(missing_ok=True)  # the others may need the room
            said = failures.explain(error, is_training=False)
            self.export.refuse(quant, *map(failures.without_tokens, said))

    def _part(self, quant: str) -> Path:
        return export_files.part_of(self.plan.path(quant), self.job.run.id)

    # --- the conversion ------------------------------------------------------------------------

    def _first(self, wanted: list[str]) -> First:
        quant = export_source.first_type(self.plan, wanted)
        if not self.plan.again and self.fingerprint:
            kept = export_files.made(self.plan.path(quant.name), self.fingerprint)
            if kept is not None and kept.proof is not None and kept.proof.passed:
                return First(quant, Path(kept.path), kept.proof)
        try:
            return self._converted(quant)
        except converter.TooLarge as error:
            if "f16" in wanted:
                self.export.refuse("f16", error.summary, error.hint)
                wanted.remove("f16")
        return self._converted(QUANTS["f32"])

    def _converted(self, quant: Quant) -> First:
        part, began = self._part(quant.name), time.perf_counter()
        if self.plan.member.method == "lora":
            self._doing("merging the adapter into its base", quant.name, "writing")
        with export_source.model_folder(self.job, self.plan, quant) as folder:
            what = f"converting to {quant.name}"
            self._doing(what, quant.name, "writing")
            size = self.export.sizes.get(quant.name)
            tell = self._sharing(what, quant.name)
            with export_source.growing(part, size, tell):
                head = export_source.convert(self.tools, folder, part, quant, trust=self.trust)
        proof = self._finish(quant.name, part, head, time.perf_counter() - began)
        is_named = quant.name in self.export.made
        return First(quant, self.plan.path(quant.name) if is_named else part, proof)

    def _adapter(self) -> None:
        """The adapter alone; its proof is that of its base with the file applied to it."""
        self._doing("converting the adapter alone", LORA, "writing")
        member = self.plan.member
        base = model_folder(member.base, member.revision)
        if base is None:
            raise LoraTuiError(f"{member.base} is not on this machine.", "Fetch it first.")
        part, began = self._part(LORA), time.perf_counter()
        folder = model_folder(member.path) or Path(member.path)
        converter.convert_adapter(self.tools, folder, base, part, trust=self.trust)
        head = gguf.read_head(part)
        seconds = time.perf_counter() - began
        whole = part.with_name(f"{part.name.removesuffix('.part')}.base.part")
        self._doing("converting its base, to prove it", LORA, "writing")
        try:
            quant = export_source.convert_base(self.tools, base, whole, trust=self.trust)
            export_source.require_fit(part, whole)
            self._finish(LORA, part, head, seconds, measured=(whole, quant.name, part))
        finally:
            whole.unlink(missing_ok=True)

    # --- what is made from it ------------------------------------------------------------------

    def _quantised(self, quant: Quant, first: First) -> None:
        part = self._part(quant.name)
        matrix = self._matrix_for(quant, first) if quant.matrix else None
        what = f"quantising to {quant.name}"
        self._doing(what, quant.name, "writing")
        began = time.perf_counter()
        head = quantiser.quantise(
            self.tools,
            first.path,
            part,
            quant,
            matrix=matrix.path if matrix else None,
            folder=self.job.run.path / ".quantise",
            on_share=self._sharing(what, quant.name),
        )
        self._finish(quant.name, part, head, time.perf_counter() - began, first=first)

    def _matrix_for(self, quant: Quant, first: First) -> Matrix | None:
        """The importance matrix, computed once.

        Raises:
            LoraTuiError: the type needs one, and there is none.
        """
        if self._matrix is None:
            self._matrix = self._compute_matrix(first)
            if isinstance(self._matrix, LoraTuiError) and quant.matrix != NEEDED:
                self.job.warn(f"No importance matrix is used: {self._matrix.summary}")
        found = self._matrix
        if quant.matrix != NEEDED:
            return found if isinstance(found, Matrix) else None
        if isinstance(found, LoraTuiError):
            raise LoraTuiError(
                f"{quant.name} needs an importance matrix. {found.summary}",
                "Export it from the run that trained it, or choose q3_k_m or larger.",
            )
        if found.missing:
            raise LoraTuiError(
                f"{quant.name} needs an importance matrix, and {len(found.missing)} tensors have "
                f"none (first: {found.missing[0]}): their layers are not linear ones.",
                "Choose q3_k_m or larger.",
            )
        return found

    def _compute_matrix(self, first: First) -> Matrix | LoraTuiError:
        if not self.export.has_rows:
            name = self.plan.member.name
            return LoraTuiError(f"It is computed from training data, and none is known of {name}.")
        self._doing("computing the importance matrix")
        reference = self._measured()
        resident, target = reference.resident, self.job.run.path / "imatrix.gguf"
        resident.use(reference.id)  # a proof leaves the base in its place
        try:
            with converter.imported(self.tools.converter):
                return importance.compute(
                    resident.model,
                    self.job.preset,
                    resident.template,
                    first.path,
                    target,
                    stop=self.job.stop,
                )
        except LoraTuiError as error:
            return error

    # --- proof ---------------------------------------------------------------------------------

    def _finish(
        self,
        name: str,
        part: Path,
        head: Head,
        seconds: float,
        *,
        first: First | None = None,
        measured: tuple[Path, str, Path] | None = None,
    ) -> Proof:
        """Prove a whole file and give it its name, in this order.

        Args:
            name: Its type.
            part: Where it was written.
            head: What it says of itself.
            seconds: What making it took.
            first: The conversion it was made from, whose figures are told beside its own.
            measured: Of an adapter alone, its base's file and type, and the adapter's file.
        """
        path = self.plan.path(name)
        size = part.stat().st_size
        file = ExportFile(name, str(path), "done", None, size, head.types, round(seconds, 2))
        if name in self.export.quants:
            self.export.tell(file)
        self._doing(f"proving {name}", name, "proving")
        proof = self._prove(*(measured or (part, name, None)))
        if first is not None:
            proof = export_limits.made_from(proof, first.quant.name, first.proof)
        if name in self.export.quants:
            file = replace(file, proof=proof)
            was = export_files.made(path)
            if proof.verdict == FAIL and was and was.proof and was.proof.passed:
                self.job.warn(f"{path.name} passed before; what replaces it now does not.")
            source, asked = self.plan.member.path, self.export.asked
            with self.job.stop.deferred(), export_source.room(path.parent):
                export_files.finish(part, path, file, self.fingerprint, source=source, asked=asked)
                self.export.made[name] = file
                self.job.emit("proof", quant=name, **proof.document())
            self.job.stop.check()
        return proof

    def _prove(self, file: Path, name: str, adapter: Path | None) -> Proof:
        try:
            return gguf_proof.prove(self._measured(), file, name, job=self.job, adapter=adapter)
        except Exception as error:  # a file that cannot be measured is said to be so, and stays
            print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
            said, _ = failures.explain(error, is_training=False)
            summary = failures.without_tokens(said)
            return Proof(UNKNOWN, reasons=(f"It could not be measured: {summary}",))

    def _measured(self) -> Reference:
        """The tuned model in torch, loaded when it is needed first."""
        if self._reference is None:
            self._reference = Reference(
                self.job, self.plan.member, self.export.has_rows, self.plan.rows
            )
        return self._reference

    # --- what is said --------------------------------------------------------------------------

    def _doing(self, what: str, quant: str | None = None, state: str | None = None) -> None:
        self.job.stop.check()
        self.job.emit("doing", what=what, quant=quant, state=state)

    def _sharing(self, what: str, quant: str) -> Any:
        def tell(share: float) -> None:
            if time.monotonic() - self._told >= _PACE:
                self._told = time.monotonic()
                self.job.emit("doing", what=what, quant=quant, share=round(share, 3))

        return tell
