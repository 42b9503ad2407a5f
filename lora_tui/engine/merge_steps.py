"""The steps of a merge, in a folder that nobody sees yet."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lora_tui.core import merge_check, preset_files, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member
from lora_tui.core.merging import MergePlan
from lora_tui.core.parameters import model_folder
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.engine import (
    adapters,
    combine,
    common_rows,
    distances,
    machine,
    merge_proof,
    merging,
    models,
    own_tokenizer,
)
from lora_tui.engine.collate import pad_id
from lora_tui.engine.common_rows import Rows
from lora_tui.engine.exact import Exact
from lora_tui.engine.job import TorchJob
from lora_tui.engine.masking import Example
from lora_tui.engine.merge_audit import Audit, Parts, audit
from lora_tui.engine.merging import Written
from lora_tui.engine.probing import probes
from lora_tui.engine.resident import Resident

_LOGITS = 1 << 23
"""Logits computed at once, 32 MB: memory stays near that of the weights."""


class Steps:
    """One merge; the job's events tell what is found."""

    def __init__(self, job: TorchJob, plan: MergePlan, folder: Path) -> None:
        """Nothing is done yet.

        Args:
            job: What was begun.
            plan: What is merged.
            folder: Where to.
        """
        self.job, self.plan, self.folder = job, plan, folder

    def make(self) -> None:
        """Write, prove and measure.

        Raises:
            LoraTuiError: an adapter is broken or does not fit, or there is no room.
        """
        job = self.job
        member = self._one()
        written = self._write(member)
        seen = self._audit(member)
        self._do("loading the base")
        base = models.load_stored(job.preset, job.platform).to(job.platform.device)
        resident = Resident(job.preset, job.platform, base)
        self._do("reading held-out rows")
        rows = self._rows(resident)
        self._do("comparing logits")
        merged, faults = self._reloaded()
        measured: dict[str, float] = {}
        tokens: list[str] = []
        if merged is not None:
            tokens = self._about_tokens(resident, member)
            resident.attach(member)
            given = [row.input_ids for row in self._examples(resident, rows)]
            measured = merge_proof.differences(resident, member, merged, given, job.stop)
            resident.detach(member.id)
        layers = base.config.get_text_config().num_hidden_layers
        proof = merge_proof.verdict(
            measured, seen, faults, dtype=written.dtype, layers=layers, tokens=tokens
        )
        job.emit("proof", **proof.document())
        del merged, base  # one model at a time
        machine.give_back()
        if rows:
            self._score(resident, rows)
            del resident
            machine.give_back()
            if not faults:
                self._tell("merged", "the merged model", self._reloaded()[0], rows)

    def _do(self, what: str) -> None:
        self.job.stop.check()
        self.job.emit("doing", what=what)

    def _one(self) -> Member:
        """The adapter that is merged: the only one, or what the plan makes of several."""
        first = self.plan.members[0]
        if not merge_check.combines(self.plan):
            return first
        self._do("combining the adapters")
        several = []
        for member in self.plan.members:
            files = adapters.read(_folder(member))
            for said in files.warnings:
                self.job.warn(f"{member.name}: {said}")
            several.append(files)
        place = self.folder / "adapter"
        combine.write(self.plan, several, place)
        rows = models.read_config(self.job.preset).get_text_config().vocab_size
        for said in own_tokenizer.keep_first(
            [_folder(member) for member in self.plan.members], rows, place
        ):
            self.job.warn(said)
        return Member("combined", "combined", "lora", str(place), first.base, first.revision)

    def _write(self, member: Member) -> Written:
        self._do("merging")
        job = self.job
        written = merging.fill(
            job.preset, job.platform, member, self.folder, self.plan.dtype, stop=job.stop
        )
        machine.give_back()  # what comes next needs the memory
        job.emit("written", bytes=written.bytes, dtype=written.dtype)
        for said in written.warnings:
            job.warn(said)
        return written

    def _rows(self, resident: Resident) -> Rows | None:
        """Rows held out by one of the runs and trained on by none."""
        job = self.job
        if not runs.read_info(job.run)["options"]["has_rows"]:
            return None
        own: Mapping[str, Preset] = {
            member.run: preset_files.load(Run(Path(member.run)).preset)
            for member in self.plan.members
            if member.run
        }
        names = ("name_or_path", "revision", "trust_remote_code", "load_in_4bit")
        found = common_rows.first_common(
            [job.preset, *own.values()],
            {f"model.{name}": getattr(job.preset.model, name) for name in names},
            resident.tokenizer,
            common_rows.trained_on(own, job.warn),
            most=self.plan.rows,
            warn=job.warn,
        )
        if found is None:
            job.warn(
                "There is no row that was held out by one run and trained on by none: losses are "
                "not compared."
            )
        else:
            job.emit("held_out", **found.figures)
        return found

    def _examples(self, resident: Resident, rows: Rows | None) -> Sequence[Example]:
        """What the proof is measured on: nothing, where the chat template takes no row."""
        if rows:
            return rows.examples
        try:
            found = probes(self.job.preset, False, resident.template, self.plan.rows)
        except LoraTuiError as error:  # what is written is none the worse
            self.job.warn(f"{error.summary} {error.hint}".rstrip())
            return []
        for said in found.warnings:
            self.job.warn(said)
        return found.examples

    def _audit(self, member: Member) -> Audit:
        self._do("comparing tensors")
        model = self.job.preset.model
        base = model_folder(model.name_or_path, model.revision)
        base = base or Path(models.reference_of(self.job.preset))
        return audit(base, self.parts(member), self.folder, self.job.stop)

    def parts(self, member: Member) -> Parts:
        """What the update is the sum of: `cat` is exact, and so held to the adapters themselves."""
        plan = self.plan
        if merge_check.combines(plan) and plan.method == "cat":
            read = [adapters.read(_folder(one)) for one in plan.members]
            return list(zip(plan.weights, read, strict=True))
        return [(1.0, adapters.read(_folder(member)))]

    def _about_tokens(self, resident: Resident, member: Member) -> list[str]:
        """What the tokenizer does otherwise than the adapter's own, or else the base's."""
        rows = resident.model.get_input_embeddings().weight.shape[0]
        own, _ = own_tokenizer.chosen(resident.tokenizer, _folder(member), rows)
        trust = self.job.preset.model.trust_remote_code
        return merge_proof.about_tokens(self.folder, own, trust=trust)

    def _reloaded(self) -> tuple[Any, list[str]]:
        trust = self.job.preset.model.trust_remote_code
        merged, faults = merge_proof.reload(self.folder, trust=trust)
        return merged.to(self.job.platform.device) if merged is not None else None, faults

    def _score(self, resident: Resident, rows: Rows) -> None:
        """The held-out loss of the base and of each adapter."""
        self._tell(BASE, "the base", resident.model, rows)
        for member in self.plan.members:
            resident.attach(member)
            resident.use(member.id)
            self._tell(member.id, member.name, resident.model, rows)
            resident.detach(member.id)

    def _tell(self, id_: str, name: str, model: Any, rows: Rows) -> None:
        self._do(f"held-out loss of {name}")
        pad = pad_id(rows.template.tokenizer)
        with Exact():
            loss = distances.held_out_loss(model, rows.examples, pad, self.job.stop, most=_LOGITS)
        self.job.emit("scored", id=id_, held_out_loss=loss)


def _folder(member: Member) -> Path:
    return model_folder(member.path) or Path(member.path)
