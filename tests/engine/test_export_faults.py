"""Small models of three architectures are exported and pass; every planted fault fails."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from gguf import GGUFReader
from peft import PeftModel
from transformers import AutoModelForCausalLM

from lora_tui.core import export_tools, members, preset_files
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS, Proof
from lora_tui.core.quantisation import QUANTS
from lora_tui.engine import converter, gguf_proof, quantiser
from tests.engine import kinds

TYPES = ("f16", "q8_0", "q4_k_m")
NEVER = SimpleNamespace(requested=False, check=lambda: None)


@dataclass
class Exported:
    """One model with its adapter, exported by what exports use; `files` by their types."""

    kind: str
    home: Path
    base: Path
    adapter: Path
    reference: gguf_proof.Reference
    job: SimpleNamespace
    files: dict[str, Path] = field(default_factory=dict)

    def merged(self, name: str, change: Callable[[PeftModel], object] = lambda _: None) -> Path:
        """The adapter merged into the base, `change` made before."""
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
        return gguf_proof.prove(self.reference, file, quant, job=self.job)


@pytest.fixture(scope="module", params=kinds.KINDS)
def exported(request, tmp_path_factory) -> Exported:
    home = tmp_path_factory.mktemp(request.param)
    base = kinds.build(request.param, home / "base")
    adapter = kinds.write_adapter(base, home / "adapter", size=0.2)
    preset = preset_files.with_settings(
        preset_files.find("demo"), [f"model.name_or_path={base}", "engine.device=cpu"]
    )
    platform = Platform("transformers", "cpu", bfloat16=False)
    job = SimpleNamespace(preset=preset, platform=platform, stop=NEVER)
    member = members.of_reference(str(adapter))
    reference = gguf_proof.Reference(job, member, has_rows=True, rows=6)
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
    if quant == "f16":
        assert figures["kl"] < 3e-6 and figures["top1"] > 0.99
        assert figures["perplexity"] == pytest.approx(figures["perplexity_of_torch"], rel=1e-3)


# --- faults in what is merged: the base, the tokenizer and the template are right -----------------


def without_adapter(model: PeftModel) -> None:
    scale(model, "", 0)


def alpha_doubled(model: PeftModel) -> None:
    scale(model, "", 2)


def one_layer_dropped(model: PeftModel) -> None:
    scale(model, "layers.1.", 0)


def one_module_dropped(model: PeftModel) -> None:
    scale(model, "layers.0.self_attn.v_proj", 0)


def scale(model: PeftModel, where: str, factor: float) -> None:
    layers = [layer for name, layer in model.named_modules() if where in name]
    for layer in layers:
        if isinstance(getattr(layer, "scaling", None), dict):
            layer.scaling = {name: value * factor for name, value in layer.scaling.items()}


MERGED = (without_adapter, alpha_doubled, one_layer_dropped, one_module_dropped)

# --- faults in the tokenizer that is converted ----------------------------------------------------


def other_merges(folder: Path) -> None:
    """The same tokens, merged in another order."""
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    document["model"]["merges"] = document["model"]["merges"][::-1]
    document["model"]["ignore_merges"] = False
    path.write_text(json.dumps(document), "utf-8")


# --- faults in the file: as many bytes as before --------------------------------------------------

OTHER_CUTS = {
    "smollm2": ("smollm", "falcon"),
    "qwen2": ("qwen2", "gpt-2"),
    "llama3": ("llama-bpe", "command-r"),
}


def replaced(file: Path, old: str, new: str) -> None:
    data = file.read_bytes()
    assert len(old) == len(new) and old.encode() in data
    file.write_bytes(data.replace(old.encode(), new.encode(), 1))


def other_cuts(file: Path, kind: str) -> None:
    old, new = (f"tokenizer.ggml.pre\x08\0\0\0{chr(len(one))}\0\0\0\0\0\0\0{one}"
                for one in OTHER_CUTS[kind])  # fmt: skip
    replaced(file, old, new)


def other_template(file: Path, kind: str) -> None:
    old, new = ("helpful", "useless") if kind != "llama3" else ("| trim", "      ")
    replaced(file, old, new)


def broken_template(file: Path, _: str) -> None:
    replaced(file, "{% endfor %}{% if", "{% endfot %}{% if")


def no_template(file: Path, _: str) -> None:
    replaced(file, "tokenizer.chat_template", "tokenizer.chat_templatX")


def no_end(file: Path, _: str) -> None:
    replaced(file, "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eoX_token_id")


def other_end(file: Path, _: str) -> None:
    setting(file, "tokenizer.ggml.eos_token_id")[0] = 300


def end_is_text(file: Path, kind: str) -> None:
    """The token that ends an answer is no special one any more."""
    end = {"llama3": 4}.get(kind, 2)
    reader = GGUFReader(file, "r+")
    field = reader.fields["tokenizer.ggml.token_type"]
    field.parts[field.data[end]][0] = 1
    field = reader.fields["tokenizer.ggml.tokens"]
    name = field.parts[field.data[end]]
    name[2] += 1  # llama.cpp knows the ends of turns by their names too


def begins_otherwise(file: Path, _: str) -> None:
    told = setting(file, "tokenizer.ggml.add_bos_token")
    told[0] = not told[0]


def other_architecture(file: Path, kind: str) -> None:
    name = "qwen2" if kind == "qwen2" else "llama"
    replaced(file, f"{name}.block_count", f"{name[:-1]}x.block_count")


def setting(file: Path, name: str) -> np.ndarray:
    return GGUFReader(file, "r+").fields[name].parts[-1]


def tensor(file: Path, name: str) -> np.ndarray:
    return next(one.data for one in GGUFReader(file, "r+").tensors if one.name == name)


def wrong_permutation(file: Path, _: str) -> None:
    """Halves of each head interleaved or not: what a converter gets wrong of rotary embeddings."""
    rows = tensor(file, "blk.0.attn_q.weight")
    heads = rows.reshape(8 if len(rows) == 256 else 9, -1, 2, rows.shape[-1])
    rows[:] = heads.swapaxes(1, 2).reshape(rows.shape).copy()


def swapped(file: Path, _: str) -> None:
    one, other = (tensor(file, f"blk.0.{name}.weight") for name in ("ffn_up", "ffn_gate"))
    one[:], other[:] = other.copy(), one.copy()


def swapped_layers(file: Path, _: str) -> None:
    one, other = (tensor(file, f"blk.{at}.attn_v.weight") for at in (0, 1))
    one[:], other[:] = other.copy(), one.copy()


def one_row_of_zeros(file: Path, _: str) -> None:
    tensor(file, "blk.1.ffn_down.weight")[7] = 0


def not_a_number(file: Path, _: str) -> None:
    tensor(file, "blk.1.ffn_down.weight")[7, 7] = np.nan


def cut_in_half(file: Path, _: str) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def last_bytes_missing(file: Path, _: str) -> None:
    file.write_bytes(file.read_bytes()[:-40])


IN_TEXT = (other_cuts, other_template, broken_template, no_template)
IN_ENDS = (no_end, other_end, end_is_text, begins_otherwise)
IN_WEIGHTS = (wrong_permutation, swapped, swapped_layers, one_row_of_zeros, not_a_number)
IN_WHOLE = (other_architecture, cut_in_half, last_bytes_missing)
IN_FILE = (*IN_TEXT, *IN_ENDS, *IN_WEIGHTS, *IN_WHOLE)


@pytest.fixture(scope="module")
def planted(exported) -> dict[str, Path]:
    """A file for each fault, in f16."""
    found = {}
    for fault in MERGED:
        found[fault.__name__] = exported.converted(exported.merged(fault.__name__, fault))
    folder = exported.home / other_merges.__name__
    shutil.copytree(exported.home / "whole", folder)
    other_merges(folder)
    found[other_merges.__name__] = exported.converted(folder)
    for fault in IN_FILE:
        file = found[fault.__name__] = exported.home / f"{fault.__name__}.gguf"
        shutil.copy(exported.files["f16"], file)
        fault(file, exported.kind)
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
    assert len(proofs) == len(MERGED) + 1 + len(IN_FILE)
    assert sorted(told(exported.kind, proofs)) == sorted(proofs)


def test_what_an_adapter_lost_shows_through_the_noise_of_four_bits(exported, planted):
    """Less than a layer's update may be less than they can tell: then that is said, and no more."""
    proofs = {
        fault.__name__: exported.prove(
            exported.quantised(planted[fault.__name__], "q4_k_m"), "q4_k_m"
        )
        for fault in MERGED
    }
    failed = told(f"{exported.kind} in q4_k_m", proofs)
    assert {fault.__name__ for fault in MERGED[:3]} <= set(failed)
    assert not any(proof.passed for proof in proofs.values())
