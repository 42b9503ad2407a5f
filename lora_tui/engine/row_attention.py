"""Attention for rows that lie one behind the other in one batch, with no padding between them.

What lies behind the last one is no row, and its attention is zero.

Each row is computed by itself, so no token can attend to another row: the mask is not a matrix but
the loop. Transformers hands the rows' bounds to whatever computes attention, as FlashAttention
wants them (`cu_seq_lens_q`); its own PyTorch attention ignores them, and pays for every pair of
tokens of different rows.

The backward pass is written out, for PyTorch's own on a CPU takes ten times its forward pass:
Dao 2023, FlashAttention-2 (https://arxiv.org/abs/2307.08691), section 2.3.2, gives the formulas.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lora_tui.engine.autocast import compute_dtype

_MOST_SCORES = 1 << 23
"""Scores held at once in the backward pass: 32 MB in float32."""
GRID = 32
"""Lengths are rounded up to a multiple of it where products are computed."""
_LONGEST = 2048
"""Rows above it are left to PyTorch: all their scores would not fit."""


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
        found = query.new_zeros(query.shape[1], query.shape[0], value.shape[-1])
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
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradients of query, key and value."""
        query, key, value, found, sums = ctx.saved_tensors
        into = [torch.zeros_like(part) for part in (query, key, value)]
        scaled = query * ctx.scale
        given = outer[0].transpose(0, 1)
        delta = (outer[0].float() * found.float()).sum(-1).T
        shared = query.shape[0] // key.shape[0]
        for start, end in ctx.bounds:
            step = max(1, _MOST_SCORES // (shared * (end - start) ** 2))
            for first in range(0, key.shape[0], step):
                few = slice(first, first + step)
                many = slice(first * shared, (first + step) * shared)
                gradients = _backward(
                    _filled(scaled[many, start:end]),
                    _filled(key[few, start:end]),
                    _filled(value[few, start:end]),
                    _filled(given[many, start:end]),
                    _filled(sums[many, start:end, None]),
                    _filled(delta[many, start:end, None]),
                )
                for part, heads, gradient in zip(into, (many, few, few), gradients, strict=True):
                    part[heads, start:end] = gradient[:, : end - start]
        into[0].mul_(ctx.scale)
        return *into, None, None


def _filled(part: torch.Tensor) -> torch.Tensor:
    """A row of (heads, tokens, size) with nothing behind it up to the next of a few lengths.

    What is nothing has no gradient; and for each new length oneDNN compiles its products anew.
    """
    heads, length, size = part.shape
    room = part.new_zeros(heads, -(-length // GRID) * GRID, size)
    room[:, :length] = part
    return room


def _backward(  # noqa: PLR0917 - the formula's own letters
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    do: torch.Tensor,
    logsumexp: torch.Tensor,
    delta: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    heads, length, size = k.shape
    # Heads that share their keys stand below each other: one product instead of several.
    q, do, logsumexp, delta = (
        part.view(heads, -1, part.shape[-1]) for part in (q, do, logsumexp, delta)
    )
    # Scores in float32: rounded before the exponential, they would be wrong by per cents.
    p = torch.bmm(q.float(), k.float().mT).sub_(logsumexp).exp_()
    p.view(heads, -1, length, length).tril_()
    ds = torch.bmm(do, v.mT).float().sub_(delta).mul_(p).to(q.dtype)
    dv = torch.bmm(p.to(do.dtype).mT, do)
    return torch.bmm(ds, k).view(-1, length, size), torch.bmm(ds.mT, q), dv


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
    compute = compute_dtype(query)
    query, key, value = query.to(compute), key.to(compute), value.to(compute)
    bounds = list(pairwise(cu_seq_lens_q.tolist()))
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(end - start for start, end in bounds)
    window = options.get("sliding_window") or longest
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
