"""Batches without padding: their rows lie one behind the other, and are proven to stay apart."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DataCollatorWithFlattening

from lora_tui.engine import row_attention
from lora_tui.engine.masking import IGNORED

_flatten = DataCollatorWithFlattening(return_flash_attn_kwargs=True)


def collate(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Rows as one, with the position of each token in its own row, and where each row begins.

    Up to 31 tokens that belong to no row round the length up: for each new length oneDNN compiles
    its products anew, which takes longer than to multiply.
    """
    batch: dict[str, Any] = _flatten(rows)
    rest = (0, -batch["input_ids"].shape[1] % row_attention.GRID)
    for name, filler in (("input_ids", 0), ("labels", IGNORED), ("position_ids", 0)):
        batch[name] = pad(batch[name], rest, value=filler)
    return batch


def tokens(batch: Mapping[str, Any]) -> int:
    """How many tokens the rows of such a batch have."""
    return int(batch["cu_seq_lens_q"][-1])


_AGREES = {torch.float32: 1e-4, torch.bfloat16: 5e-2}
"""How far results may differ that only other shapes of matrices round in another way."""


def prepare(model: Any) -> bool:
    """Make the model compute such batches, where it is one that can; say whether it does.

    Its answers are looked at, for nothing else tells of every model: what recurs or convolves over
    its tokens (Mamba and its kin) carries one row over into the next.
    """
    if getattr(model.config.get_text_config(), "_attn_implementation", None) != "sdpa":
        return False
    row_attention.install()
    was_training = model.training
    model.eval()
    try:
        return _keeps_rows_apart(model)
    except (TypeError, ValueError, RuntimeError, IndexError):  # it cannot take them at all
        return False
    finally:
        model.train(was_training)


@torch.no_grad()
def _keeps_rows_apart(model: Any) -> bool:
    """Whether a row's answers are the same alone, behind one row, and behind another."""
    vocabulary = model.config.get_text_config().vocab_size
    first, other, second = (
        [(start + 7 * place) % vocabulary for place in range(length)]
        for start, length in ((1, 5), (3, 5), (2, 9))
    )
    alone = model(torch.tensor([second]), use_cache=False).logits[0]
    return all(_agree(_last(model, [one, second]), alone) for one in (first, other))


def _last(model: Any, rows: list[list[int]]) -> torch.Tensor:
    """What the model answers to the last of several rows."""
    inputs = collate([{"input_ids": row, "labels": row} for row in rows])
    del inputs["labels"]
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[0, : tokens(inputs)][-len(rows[-1]) :]


def _agree(one: torch.Tensor, other: torch.Tensor) -> bool:
    apart = (one.float() - other.float()).norm(dim=-1).max()
    return bool(apart <= _AGREES.get(one.dtype, 5e-2) * other.float().norm(dim=-1).max())
