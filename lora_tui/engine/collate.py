"""Rows of token ids padded into one batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lora_tui.engine.masking import IGNORED


class Collator:
    """Pads on the right: padding is masked in attention and ignored in the loss."""

    def __init__(self, pad: int) -> None:
        """Keep the padding's token id; any id will do."""
        self.pad = pad

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """The rows as `input_ids`, `attention_mask` and `labels`."""
        longest = max(len(row["input_ids"]) for row in rows)
        ids = torch.full((len(rows), longest), self.pad, dtype=torch.long)
        labels = torch.full_like(ids, IGNORED)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            length = len(row["input_ids"])
            ids[number, :length] = torch.as_tensor(row["input_ids"], dtype=torch.long)
            labels[number, :length] = torch.as_tensor(row["labels"], dtype=torch.long)
            mask[number, :length] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def pad_id(tokenizer: Any) -> int:
    """A token id to pad with."""
    found = (tokenizer.pad_token_id, tokenizer.eos_token_id, 0)
    return int(next(token for token in found if token is not None))
