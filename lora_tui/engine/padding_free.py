"""Batches without padding: their rows lie one behind the other, and are proven to stay apart."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from transformers import DataCollatorWithFlattening

from lora_tui.engine import failures, row_attention
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


_NEAR = {torch.float32: 1e-4}
"""How far results may differ that only other shapes of matrices round in another way; else 5 %."""

_SAME = {torch.float32: 1e-5}
"""How far where only experts get other numbers of tokens; else not at all: a leak is as small."""


_REFUSALS = (TypeError, ValueError, RuntimeError, LookupError, AttributeError)
"""How a model says that it cannot take such a batch; the log keeps the words."""


def prepare(model: Any) -> bool:
    """Make the model compute such batches, where it is one that can; say whether it does.

    Its answers are looked at, for nothing else tells of every model: what recurs or convolves over
    its tokens (Mamba and its kin) carries one row over into the next.
    """
    config = model.config.get_text_config()
    if getattr(config, "_attn_implementation", None) != "sdpa" or _has_more(config):
        return False
    row_attention.install()
    was_training = model.training
    model.eval()
    try:
        return _keeps_rows_apart(model, _window(config))
    except _REFUSALS:
        print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
        return False
    finally:
        model.train(was_training)


def _has_more(config: Any) -> bool:
    """Whether tokens count beyond attention and loss, or attention is cut where no option says."""
    names = ("attention_chunk_size", "output_router_logits")
    return any(getattr(config, name, None) for name in names)


def _window(config: Any) -> int | None:
    """How many tokens back attention reaches, where the configuration limits it."""
    if getattr(config, "use_sliding_window", True) is False:
        return None
    return getattr(config, "sliding_window", None)


@torch.no_grad()
def _keeps_rows_apart(model: Any, window: int | None) -> bool:
    """Whether a row's answers are the same alone, behind one row, and behind another.

    Of several others one has to do: experts that get more tokens round in another way. And
    attention has to be told of the window by more than a mask.
    """
    vocabulary = model.config.get_text_config().vocab_size
    *others, row = (
        [(start + 7 * place) % vocabulary for place in range(length)]
        for start, length in ((1, 5), (3, 5), (4, 5), (6, 5), (8, 5), (2, 9))
    )
    row_attention.windows_met.clear()
    behind, *again = (_last(model, [other, row]) for other in others)
    is_told = window is None or window in row_attention.windows_met
    alone = model(torch.tensor([row]), use_cache=False).logits[0]
    is_same = any(_apart(behind, one) <= _SAME.get(one.dtype, 0.0) for one in again)
    return is_told and is_same and _apart(behind, alone) <= _NEAR.get(alone.dtype, 0.05)


def _last(model: Any, rows: list[list[int]]) -> torch.Tensor:
    """What the model answers to the last of several rows."""
    inputs = collate([{"input_ids": row, "labels": row} for row in rows])
    del inputs["labels"]
    logits: torch.Tensor = model(**inputs, use_cache=False).logits
    return logits[0, : tokens(inputs)][-len(rows[-1]) :]


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest distance between two answers, as a share of the largest."""
    apart = (one.float() - other.float()).norm(dim=-1).max()
    return float(apart / other.float().norm(dim=-1).max())
