"""Small models of three architectures are exported and pass; every planted fault fails."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lora_tui.core import export_tools, members, preset_files
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS, Proof
from lora_tui.core.quantisation import QUANTS
from lora_tui.engine import quantiser
from tests.engine import faults, kinds

if TYPE_CHECKING:
    from peft import PeftModel

    from lora_tui.engine.export_reference import Reference


TYPES = ("f16", "q8_0", "q4_k_m")
NEVER = SimpleNamespace(requested=False, check=lambda: None)


@dataclass
class Exported:
    """One model with its adapter, exported by what exports use; `files` by their types."""

    kind: str
    home: Path
    base: Path
    adapter: Path
    reference: "Reference"
    job: Any
    files: dict[str, Path] = field(default_factory=dict)

    def merged(self, name: str, change: "Callable[[PeftModel], object]" = lambda _: None) -> Path:
        """The adapter merged into the base, `change` made before."""
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        folder = self.home / name
        model = AutoModelForCausalLM.from_pretrained(self.base, dtype="float32")
        model = PeftModel.from_pretrained(model, self.adapter)
        change(model)
        model.merge_and_unload().half().save_pretrained(folder)
        for path in self.base.glob("*token*"):
            shutil.copy(path, folder)
        shutil.copy(self.base / "chat_template.jinja", folder)
        return folder

    def converted(self, folder: Path) -> Path:
        """A folder as GGUF in f16."""
        from lora_tui.engine import converter

        file = folder.with_suffix(".gguf")
        converter.convert(export_tools.find(), folder, file, "f16")
        return file

    def quantised(self, file: Path, quant: str) -> Path:
        """A file in f16 as one of another type."""
        target = file.with_name(f"{file.stem}-{quant}.gguf")
        quantiser.quantise(
            export_tools.find(),
            file,
            target,
            QUANTS[quant],
            matrix=None,
            folder=self.home / "quantise",
            on_share=lambda _: None,
        )
        return target

    def prove(self, file: Path, quant: str) -> Proof:
        """The file's proof."""
        from lora_tui.engine import gguf_proof

        return gguf_proof.prove(self.reference, file, quant, job=self.job)


@pytest.fixture(scope="module", params=kinds.KINDS)
def exported(request, tmp_path_factory) -> Exported:
    from lora_tui.engine.export_reference import Reference

    home = tmp_path_factory.mktemp(request.param)
    base = kinds.build(request.param, home / "base")
    adapter = kinds.write_adapter(base, home / "adapter", size=0.2)
    preset = preset_files.with_settings(
        preset_files.find("demo"), [f"model.name_or_path={base}", "engine.device=cpu"]
    )
    platform = Platform("transformers", "cpu", bfloat16=False)
    run = SimpleNamespace(path=home)
    job: Any = SimpleNamespace(preset=preset, platform=platform, stop=NEVER, run=run)
    member = members.of_reference(str(adapter))
    reference = Reference(job, member, has_rows=True, rows=6)
    found = Exported(request.param, home, base, adapter, reference, job)
    found.files["f16"] = found.converted(found.merged("whole"))
    for quant in TYPES[1:]:
        found.files[quant] = found.quantised(found.files["f16"], quant)
    return found


@pytest.mark.parametrize("quant", TYPES)
def test_a_whole_file_passes(exported, quant):
    proof = exported.prove(exported.files[quant], quant)
    assert (proof.verdict, proof.reasons) == (PASS, ())
    figures = proof.figures
    assert figures["token_ids_equal"] and figures["template_equal"] and figures["stops"]
    assert figures["positions"] > 250 and figures["nan"] == 0
    assert figures["adapter_share"] == pytest.approx(1, abs=0.05)
    assert bool(figures.get("notes")) == (exported.kind == "qwen2")  # it composes characters
    assert figures["kl"] < {"f16": 3e-6, "q8_0": 1e-3, "q4_k_m": 0.1}[quant]
    if quant == "f16":
        assert figures["top1"] > 0.99
        assert figures["perplexity"] == pytest.approx(figures["perplexity_of_torch"], rel=1e-3)


@pytest.fixture(scope="module")
def planted(exported) -> dict[str, Path]:
    """A file for each fault, in f16."""
    found = {}
    for fault in faults.MERGED:
        found[fault.__name__] = exported.converted(exported.merged(fault.__name__, fault))
    folder = exported.home / faults.other_merges.__name__
    shutil.copytree(exported.home / "whole", folder)
    faults.other_merges(folder)
    found[faults.other_merges.__name__] = exported.converted(folder)
    for spoil in faults.IN_FILE:
        file = found[spoil.__name__] = exported.home / f"{spoil.__name__}.gguf"
        shutil.copy(exported.files["f16"], file)
        spoil(file, exported.kind)
    return found


def told(what: str, proofs: dict[str, Proof]) -> list[str]:
    """Print what each comes to, for whoever counts them; the names of those that fail."""
    for name, proof in proofs.items():
        print(f"{what}, {name}: {proof.verdict}. {' '.join(proof.reasons)}")
    failed = [name for name, proof in proofs.items() if proof.verdict == FAIL]
    print(f"{what}: {len(failed)} of {len(proofs)} planted faults fail")
    return failed


def test_every_planted_fault_fails(exported, planted):
    proofs = {name: exported.prove(file, "f16") for name, file in planted.items()}
    assert len(proofs) == len(faults.MERGED) + 1 + len(faults.IN_FILE)
    assert sorted(told(exported.kind, proofs)) == sorted(proofs)


def test_what_an_adapter_lost_shows_through_the_noise_of_four_bits(exported, planted):
    """Less than a layer's update may be less than they can tell: then that is said, and no more."""
    proofs = {
        fault.__name__: exported.prove(
            exported.quantised(planted[fault.__name__], "q4_k_m"), "q4_k_m"
        )
        for fault in faults.MERGED
    }
    failed = told(f"{exported.kind} in q4_k_m", proofs)
    assert {fault.__name__ for fault in faults.MERGED[:3]} <= set(failed)
    assert not any(proof.passed for proof in proofs.values())
