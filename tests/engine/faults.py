"""Faults planted in what is exported, each of which a proof has to find."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gguf import GGUFReader

if TYPE_CHECKING:
    from peft import PeftModel


# --- faults in what is merged: the base, the tokenizer and the template are right -----------------


def without_adapter(model: "PeftModel") -> None:
    scale(model, "", 0)


def alpha_doubled(model: "PeftModel") -> None:
    scale(model, "", 2)


def one_layer_dropped(model: "PeftModel") -> None:
    scale(model, "layers.1.", 0)


def one_module_dropped(model: "PeftModel") -> None:
    scale(model, "layers.0.self_attn.v_proj", 0)


def scale(model: "PeftModel", where: str, factor: float) -> None:
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
