"""The held-out loss of adapters and models by plain transformers and PEFT: one judge for all.

    python -m benchmarks.stock.held_out MODEL HELD_OUT FOLDER...

In float32, one row at a time, over the tokens of the answers; prints a JSON list.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoTokenizer

Encoded = tuple[list[int], int]
"""The token ids of a row, and where its answer begins."""


def encoded(tokenizer: Any, row: dict[str, Any]) -> Encoded:
    """A row as the chat template writes it, up to the token that ends the answer."""
    asked = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True, tokenize=False)
    text = tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
    whole, start = (tokenizer(one, add_special_tokens=False).input_ids for one in (text, asked))
    assert text.startswith(asked) and whole[: len(start)] == start, text
    return tokenizer(text.rstrip(), add_special_tokens=False).input_ids, len(start)


def load(model: str, folder: Path) -> Any:
    """An adapter on the model, or a whole model; float32."""
    is_adapter = (folder / "adapter_config.json").exists()
    found = AutoModelForCausalLM.from_pretrained(model if is_adapter else folder, dtype="float32")
    return (PeftModel.from_pretrained(found, folder) if is_adapter else found).eval()


@torch.no_grad()
def held_out_loss(model: Any, rows: list[Encoded]) -> float:
    """The mean loss over the answers' tokens."""
    total, count = 0.0, 0
    for ids, start in rows:
        wanted = torch.tensor(ids[start:])
        logits = model(torch.tensor([ids]), logits_to_keep=len(wanted) + 1).logits[0, :-1]
        total += float(cross_entropy(logits, wanted, reduction="sum"))
        count += len(wanted)
    return total / count


def main() -> None:
    """Measure each folder and print the losses."""
    path, held_out, *folders = sys.argv[1:]
    tokenizer = AutoTokenizer.from_pretrained(path)
    lines = Path(held_out).read_text("utf-8").splitlines()
    rows = [encoded(tokenizer, json.loads(line)) for line in lines]
    print(json.dumps([held_out_loss(load(path, Path(folder)), rows) for folder in folders]))


if __name__ == "__main__":
    main()
