"""The loss without a GPU: TRL's fused head is Triton or nothing.

TRL computes log-probabilities of the trained tokens alone through `trl.trainer.utils.
_ChunkedLogProbFunction`. This stands in for it on a CPU, in plain torch; TRL does the rest as it
does on a GPU.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

from lora_tui.engine.autocast import autocast_dtype

_MOST_LOGITS = 1 << 22
"""Logits computed at once: 16 MB in float32, which the allocator keeps for the next ones."""


class TokenLogProbs(torch.autograd.Function):
    """The log-probability of each token's target, with never more than a part of the logits.

    A token's gradient is the outer one times `weight[target] - probabilities @ weight`, which is
    computed while the logits are there. Only where the weight is trained as well they are computed
    again: its gradient is a sum over tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Of `hidden` (tokens, columns), `weight` (vocabulary, columns): (tokens,) in float32."""
        of_hidden, of_weight, *_ = ctx.needs_input_grad
        found = torch.empty(len(targets), dtype=torch.float32)
        each = torch.empty_like(hidden) if of_hidden and not of_weight else None
        for part, wanted in _parts(targets, len(weight)):
            found[part], shares, sums = _scored(hidden[part], weight, wanted, scale)
            if each is not None:
                each[part] = _slope(shares, sums, wanted).to(weight.dtype) @ weight
        ctx.scale, ctx.is_recomputed = scale, of_weight
        ctx.save_for_backward(*((hidden, weight, targets) if of_weight else (each,)))
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradients of `hidden` and `weight`."""
        given = outer[0][:, None] * -ctx.scale
        if not ctx.is_recomputed:
            (each,) = ctx.saved_tensors
            return (each.float() * given).to(each.dtype), None, None, None
        hidden, weight, targets = ctx.saved_tensors
        of_hidden, of_weight = torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float)
        for part, wanted in _parts(targets, len(weight)):
            _, shares, sums = _scored(hidden[part], weight, wanted, ctx.scale)
            slope = _slope(shares, sums, wanted).mul_(given[part]).to(weight.dtype)
            of_hidden[part] = slope @ weight
            of_weight += slope.T @ hidden[part]
        return of_hidden, of_weight.to(weight.dtype), None, None


def _parts(targets: torch.Tensor, vocabulary: int) -> Iterator[tuple[slice, torch.Tensor]]:
    size = max(1, _MOST_LOGITS // vocabulary)
    for start in range(0, len(targets), size):
        yield slice(start, start + size), targets[start : start + size, None]


def _scored(
    hidden: torch.Tensor, weight: torch.Tensor, wanted: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The log-probabilities of `wanted`; those of all targets times their sums, and the sums."""
    logits = linear(hidden, weight).float()
    if scale != 1:
        logits.mul_(scale)
    logits.sub_(logits.amax(-1, keepdim=True))
    chosen = logits.gather(-1, wanted)
    sums = logits.exp_().sum(-1, keepdim=True)
    return (chosen - sums.log())[:, 0], logits, sums


def _slope(shares: torch.Tensor, sums: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """How a log-probability falls with each logit: all probabilities, less 1 at the target."""
    return shares.div_(sums).scatter_add_(1, wanted, -torch.ones_like(sums))


class LogProbs:
    """The interface TRL calls: `apply` returns one value a token, or None, for each field."""

    @staticmethod
    def apply(  # noqa: PLR0917 - TRL's signature
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,  # noqa: ARG004 - of the vocabulary; here the tokens are split
        softcap: float | None,
        logit_scale: float,
        outputs: Sequence[str],
    ) -> tuple[torch.Tensor | None, ...]:
        """Log-probabilities of `targets`, in float32."""
        if bias is None and not softcap:
            compute = autocast_dtype(hidden)
            hidden, weight = hidden.to(compute), weight.to(compute)
            log_probs = TokenLogProbs.apply(hidden, weight, targets, logit_scale / temperature)
        else:
            log_probs = _of_other_heads(
                hidden, weight, bias, targets, temperature, softcap, logit_scale
            )
        # Only shown by TRL's own logging, which nobody reads here; NaN rather than a false figure.
        unknown = torch.full_like(log_probs.detach(), torch.nan)
        names = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
        return log_probs, *(unknown if name in outputs else None for name in names)


def _of_other_heads(  # noqa: PLR0917 - TRL's own order
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    temperature: float,
    softcap: float | None,
    logit_scale: float,
) -> torch.Tensor:
    """The same for heads that do more than multiply, by autograd: slower."""

    def score(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = linear(states, weight, bias).float() * logit_scale
        if softcap:
            logits = softcap * torch.tanh(logits / softcap)
        logits /= temperature
        return logits.gather(-1, wanted)[:, 0] - logits.logsumexp(-1)

    parts = [(hidden[part], wanted) for part, wanted in _parts(targets, len(weight))]
    if not torch.is_grad_enabled():
        found = [score(*part) for part in parts]
    else:
        found = [
            checkpoint(score, *part, use_reentrant=False, preserve_rng_state=False)
            for part in parts
        ]
    return torch.cat([*found, hidden.new_zeros(0, dtype=torch.float32)])


def install() -> None:
    """Put the stand-in where TRL looks for its kernel; the name is private, and TRL pinned."""
    from trl.trainer import utils

    assert hasattr(utils, "_ChunkedLogProbFunction"), "this TRL keeps its fused head elsewhere"
    utils._ChunkedLogProbFunction = LogProbs
