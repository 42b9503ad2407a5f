"""A base, an adapter on it, and rows to measure their merge on. Loads torch: import it late."""

import torch

from lora_tui.core import members, preset_files
from lora_tui.core.platforms import Platform
from lora_tui.engine import adapters, merge_proof, merging, models
from lora_tui.engine.merge_audit import Audit, audit
from lora_tui.engine.resident import Resident
from tests.engine import kinds

CPU = Platform("transformers", "cpu", bfloat16=False)


class Case:
    """A random model of one of `kinds`, with a random adapter of a size; `stop` is never asked."""

    def __init__(self, kind, folder, size, stop):
        self.stop = stop
        self.base = kinds.build(kind, folder / "base")
        self.adapter = kinds.write_adapter(self.base, folder / "adapter", size=size)
        self.member = members.of_reference(str(self.adapter))
        settings = [f"model.name_or_path={self.base}"]
        self.preset = preset_files.with_settings(preset_files.find("demo"), settings)
        self.resident = Resident(self.preset, CPU, models.load_stored(self.preset, CPU))
        self.resident.attach(self.member)
        draw = torch.Generator().manual_seed(0)
        self.rows = torch.randint(5, kinds.VOCABULARY, (6, 48), generator=draw).tolist()
        self.files = adapters.read(self.adapter)

    def write(self, out, dtype="auto", **instead):
        """Merge, or something wrong `instead` of its preset or its member."""
        what = {"preset": self.preset, "member": self.member, **instead}
        made = merging.write_merged(what["preset"], CPU, what["member"], out, dtype, stop=self.stop)
        return made.dtype

    def measure(self, out):
        model, faults = merge_proof.reload(out, trust=False)
        if model is None:
            return {}, faults
        found = merge_proof.differences(self.resident, self.member, model, self.rows, self.stop)
        return found, faults

    def audited(self, out):
        return audit(self.base, [(1.0, self.files)], out, self.stop)

    def prove(self, out, dtype):
        found, faults = self.measure(out)
        told = merge_proof.about_tokens(out, self.resident.tokenizer, trust=False)
        seen = self.audited(out)
        return merge_proof.verdict(found, seen, faults, dtype=dtype, layers=2, tokens=told)

    def by_logits_alone(self, out, dtype):
        found, _ = self.measure(out)
        return merge_proof.verdict(found, Audit(1), (), dtype=dtype, layers=2)
