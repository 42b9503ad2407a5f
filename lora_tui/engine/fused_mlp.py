"""The gated MLP of Llama and its kin, keeping for the way back only what its gates give out.

Written out in the models, autograd keeps the activation and what goes into the last product as
well, which is a third of all that a layer keeps. Both are computed again from the gates instead.
Shazeer 2020, https://arxiv.org/abs/2002.05202, equation 6 (SwiGLU).
"""

from types import MethodType
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu
from transformers.models.llama.modeling_llama import LlamaMLP

from lora_tui.engine import again


class SwiGlu(torch.autograd.Function):
    """`silu(gate) * up`, of any shape."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        """The gated values; nothing but the arguments is kept."""
        ctx.save_for_backward(gate, up)
        return _gated(gate, up)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradients of `gate` and `up`."""
        gate, up = ctx.saved_tensors
        return torch.ops.aten.silu_backward(outer[0] * up, gate), _gated(gate, outer[0])


def _gated(gate: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return silu(gate).mul_(other)


def _forward(module: Any, x: torch.Tensor) -> Any:
    gate, up = module.gate_proj(x), module.up_proj(x)
    found = SwiGlu.apply(gate, up)
    again.can_be(found, _gated, gate, up)
    return module.down_proj(found)


def install(model: Any) -> None:
    """Let each MLP of the model compute this way that is one: some models' clamp or drop out."""
    was_training = model.training
    model.eval()  # so that no adapter's dropout makes two answers differ
    for module in model.modules():
        if _is_one(module):
            module.forward = MethodType(_forward, module)
    model.train(was_training)


@torch.no_grad()
def _is_one(module: Any) -> bool:
    """Whether a module is written of the same parts as Llama's, and gives the same answer."""
    written = getattr(type(module).forward, "__code__", None)
    if getattr(written, "co_names", None) != LlamaMLP.forward.__code__.co_names:
        return False
    draw = torch.Generator().manual_seed(0)
    try:
        weight = module.gate_proj.weight
        x = torch.randn(2, weight.shape[1], generator=draw).to(weight.dtype)
        return torch.equal(module(x), _forward(module, x))
    except (AttributeError, TypeError, RuntimeError, ValueError, IndexError):
        return False
