"""The loss without a GPU: TRL's fused head is Triton or nothing.

TRL computes log-probabilities of the trained tokens alone through `trl.trainer.utils.
_ChunkedLogProbFunction`. This stands in for it on a CPU, in plain torch; TRL does the rest as it
does on a GPU. (Unsloth brings a stand-in of its own.)
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import linear
from torch.utils.checkpoint import checkpoint

_MOST_LOGITS = 1 << 25
"""Logits computed at once: 128 MB in float32."""


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

        def score(states: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
            logits = linear(states, weight, bias).float() * logit_scale
            if softcap:
                logits = softcap * torch.tanh(logits / softcap)
            logits = logits / temperature if temperature != 1 else logits
            return logits.gather(-1, wanted[:, None])[:, 0] - logits.logsumexp(-1)

        size = max(1, _MOST_LOGITS // weight.shape[0])
        if len(targets) <= size:
            log_probs = score(hidden, targets)
        else:
            parts = zip(hidden.split(size), targets.split(size), strict=True)
            # Kept for the backward pass, the logits would be what the memory goes to.
            log_probs = torch.cat([_again_in_backward(score, *part) for part in parts])
        # Only shown by TRL's own logging, which nobody reads here; NaN rather than a false figure.
        unknown = torch.full_like(log_probs.detach(), torch.nan)
        names = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
        return log_probs, *(unknown if name in outputs else None for name in names)


def _again_in_backward(score: Any, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    if not torch.is_grad_enabled():
        return score(hidden, targets)
    return checkpoint(score, hidden, targets, use_reentrant=False, preserve_rng_state=False)


def install() -> None:
    """Put the stand-in where TRL looks for its kernel; the name is private, and TRL pinned."""
    from trl.trainer import utils

    assert hasattr(utils, "_ChunkedLogProbFunction"), "this TRL keeps its fused head elsewhere"
    utils._ChunkedLogProbFunction = LogProbs
