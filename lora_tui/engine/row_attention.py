"""Attention for rows that lie one behind the other in one batch, with no padding between them.

What lies behind the last one is no row, and its attention is zero.

Each row is computed by itself, so no token can attend to another row: the mask is not a matrix but
the loop. Transformers hands the rows' bounds to whatever computes attention, as FlashAttention
wants them (`cu_seq_lens_q`); its own PyTorch attention ignores them, and pays for every pair of
tokens of different rows.

The backward pass is written out, for PyTorch's own on a CPU takes many times its forward pass:
Dao 2023, FlashAttention-2 (https://arxiv.org/abs/2307.08691), section 2.3.2, gives the formulas.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lora_tui.engine.autocast import autocast_dtype

_MOST_SCORES = 1 << 23
"""Scores of a pass at once on the way back, but at least those of one key's heads; float32."""
GRID = 32
"""Lengths are rounded up to a multiple of it where products are computed."""
_LONGEST = 2048
"""Rows above it are left to PyTorch: all their scores would not fit."""

windows_met = set[int | None]()
"""The windows that layers asked for, without padding."""


class RowAttention(torch.autograd.Function):
    """Causal attention within each row; shapes (heads, tokens, size), fewer heads for key/value."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by place
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        bounds: Sequence[tuple[int, int]],
        scale: float,
    ) -> torch.Tensor:
        """The values, weighted: (tokens, heads, size)."""
        found = query.new_empty(query.shape[1], query.shape[0], value.shape[-1])
        found[bounds[-1][1] :] = 0
        sums = query.new_empty(query.shape[:2], dtype=torch.float32)
        for start, end in bounds:
            rows = (part[None, :, start:end] for part in (query, key, value))
            out, own = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                *rows, is_causal=True, scale=scale
            )
            found[start:end] = out[0].transpose(0, 1)
            sums[:, start:end] = own[0]
        ctx.save_for_backward(query, key, value, found, sums)
        ctx.bounds, ctx.scale = bounds, scale
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradients of query, key and value."""
        query, key, value, found, sums = ctx.saved_tensors
        of_query, of_key, of_value = into = [torch.empty_like(one) for one in (query, key, value)]
        for one in into:
            one[:, ctx.bounds[-1][1] :] = 0
        found, given = found.transpose(0, 1), outer[0].transpose(0, 1)
        shared = query.shape[0] // key.shape[0]
        with _multiplied_in(query.dtype):
            for start, end in ctx.bounds:
                step = max(1, _MOST_SCORES // (shared * (end - start) ** 2))
                for first in range(0, key.shape[0], step):
                    few = slice(first, first + step), slice(start, end)
                    many = slice(first * shared, (first + step) * shared), slice(start, end)
                    gradients = _backward(
                        _filled(query[many]),
                        _filled(key[few]),
                        _filled(value[few]),
                        _filled(found[many]),
                        _filled(given[many]),
                        _filled(sums[many][..., None]),
                        ctx.scale,
                    )
                    of_query[many], of_key[few], of_value[few] = (
                        one[:, : end - start] for one in gradients
                    )
        return *into, None, None


def _filled(part: torch.Tensor) -> torch.Tensor:
    """A row of (heads, tokens, size) in float32, with zeros up to the next of a few lengths.

    What is zero has no gradient; and for each new length oneDNN compiles its products anew.
    """
    heads, length, size = part.shape
    room = part.new_empty(heads, -(-length // GRID) * GRID, size, dtype=torch.float32)
    room[:, :length] = part
    room[:, length:] = 0
    return room


@contextmanager
def _multiplied_in(dtype: torch.dtype) -> Iterator[None]:
    """Let products of float32 numbers round what goes in to bfloat16, if that is what it was.

    What comes out stays float32: scores rounded before the exponential would be wrong by per cents.
    """
    products = torch.backends.mkldnn.matmul
    before = products.fp32_precision
    products.fp32_precision = "bf16" if dtype == torch.bfloat16 else before
    try:
        yield
    finally:
        products.fp32_precision = before


def _backward(  # noqa: PLR0917 - the formula's own letters
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    o: torch.Tensor,
    do: torch.Tensor,
    logsumexp: torch.Tensor,
    scale: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads, length, size = k.shape
    delta = (do * o).sum(-1, keepdim=True)
    # Heads that share their keys stand below each other: one product instead of several.
    q, do, logsumexp, delta = (
        part.view(heads, -1, part.shape[-1]) for part in (q, do, logsumexp, delta)
    )
    p = torch.bmm(q, k.mT).mul_(scale).sub_(logsumexp).exp_()
    p.view(heads, -1, length, length).tril_()
    dv = torch.bmm(p.mT, do)
    ds = torch.bmm(do, v.mT).sub_(delta).mul_(p)
    return torch.bmm(ds, k).mul_(scale).view(-1, length, size), torch.bmm(ds.mT, q).mul_(scale), dv


def attend(  # noqa: PLR0917 - transformers' signature
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    cu_seq_lens_q: torch.Tensor | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """PyTorch's attention, by rows where their bounds are given; (batch, tokens, heads, size)."""
    if cu_seq_lens_q is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
    compute = autocast_dtype(query)
    query, key, value = query.to(compute), key.to(compute), value.to(compute)
    bounds = list(pairwise(cu_seq_lens_q.tolist()))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(end - start for start, end in bounds)
    window = options.get("sliding_window")
    windows_met.add(window)
    window = window or longest
    if longest <= min(window, _LONGEST) and not dropout:
        return RowAttention.apply(query[0], key[0], value[0], bounds, scale)[None], None
    parts = []
    for start, end in bounds:
        near = None
        if window < end - start:
            near = torch.ones(end - start, end - start, dtype=torch.bool).tril_().triu_(1 - window)
        parts.append(
            scaled_dot_product_attention(
                *(part[:, :, start:end] for part in (query, key, value)),
                attn_mask=near,
                dropout_p=dropout,
                is_causal=near is None,
                scale=scale,
                enable_gqa=True,
            )
        )
    rest = query.shape[2] - bounds[-1][1]
    return pad(torch.cat(parts, dim=2), (0, 0, 0, rest)).transpose(1, 2), None


def install() -> None:
    """Let every model that uses PyTorch's attention use this one."""
    AttentionInterface.register("sdpa", attend)
