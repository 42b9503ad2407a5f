"""The root-mean-square norm as one operation.

Written out in the models, its backward pass keeps three copies of the layer's input in float32 and
goes over them a dozen times; the sums are the same. Zhang and Sennrich 2019,
https://arxiv.org/abs/1910.07467, equation 4.
"""

from types import MethodType
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from lora_tui.engine import again


class RmsNorm(torch.autograd.Function):
    """`weight * x / sqrt(mean(x ** 2) + epsilon)`, computed in float32, the weight frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Of `x` (..., columns) over its columns, and what it was multiplied by (..., 1)."""
        wide = x.float()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        ctx.mark_non_differentiable(scale)
        return _scaled(x, weight, scale), scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradient of `x`."""
        x, weight, scale = ctx.saved_tensors
        given = (outer[0] * weight).float()
        normed = x.float() * scale
        along = (given * normed).sum(-1, keepdim=True).div_(-x.shape[-1])
        return given.addcmul_(normed, along).mul_(scale).to(x.dtype), None, None


def _scaled(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    wide = x.float()
    return (wide * scale if wide is x else wide.mul_(scale)).to(x.dtype) * weight


def _forward(module: Any, hidden_states: torch.Tensor) -> Any:
    if module.weight.requires_grad:
        return type(module).forward(module, hidden_states)
    found, scale = RmsNorm.apply(hidden_states, module.weight, module.variance_epsilon)
    again.can_be(found, _scaled, hidden_states, module.weight, scale)
    return found


def install(model: Any) -> None:
    """Let each norm of the model that is written as Llama's compute this way while it is frozen."""
    llama = LlamaRMSNorm.forward.__code__
    for module in model.modules():
        written = getattr(type(module).forward, "__code__", None)
        if written and (written.co_code, written.co_names) == (llama.co_code, llama.co_names):
            module.forward = MethodType(_forward, module)
