"""An adapter's linear layer as one operation.

PEFT's own casts the layer's input to the adapter's float32, adds two results, and keeps what the
backward pass can make again. On a CPU that costs as much as the base's own product. The sums are
the same; without float32 on the way there are fewer roundings, not more.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from lora_tui.engine.again import Recipe, recipe_of
from lora_tui.engine.autocast import autocast_dtype

_WORDS = 1 << 16


class FusedLinear(Linear):
    """PEFT's linear layer; what it does not compute itself, PEFT's does."""

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """The base's product and the adapter's."""
        compute = autocast_dtype(x)
        if args or kwargs or not self._is_plain(compute):
            return super().forward(x, *args, **kwargs)
        name = self.active_adapters[0]
        dropout = self.lora_dropout[name]
        rate = dropout.p if self.training and isinstance(dropout, torch.nn.Dropout) else 0.0
        base = self.base_layer
        return LoraProduct.apply(
            x.to(compute),
            base.weight,
            base.bias,
            self.lora_A[name].weight.to(compute),
            self.lora_B[name].weight.to(compute),
            self.scaling[name],
            rate,
            recipe_of(x) if x.dtype == compute else None,
        )

    def _is_plain(self, compute: torch.dtype) -> bool:
        base, active = self.base_layer, self.active_adapters
        return (
            not (self.disable_adapters or self.merged or self.lora_variant)
            and len(active) == 1
            and active[0] in self.lora_A
            and type(base) is torch.nn.Linear
            and base.weight.dtype == compute
            and not any(weight.requires_grad for weight in base.parameters())
            and self.lora_B[active[0]].bias is None
        )


class LoraProduct(torch.autograd.Function):
    """`x @ weight.T + bias + scaling * dropout(x) @ down.T @ up.T`, weight and bias frozen."""

    @staticmethod
    def forward(  # noqa: PLR0917 - autograd passes by place
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        down: torch.Tensor,
        up: torch.Tensor,
        scaling: float,
        rate: float,
        recipe: Recipe | None,
    ) -> torch.Tensor:
        """Of `x` (..., columns), `weight` (rows, columns), `down` (r, columns), `up` (rows, r)."""
        rows = x.reshape(-1, x.shape[-1])
        dropped, share = drawn(rows, rate)
        ctx.scaling = scaling / share
        inner = _without(rows, dropped) @ down.T
        found = linear(rows, weight, bias).addmm_(inner, up.T, alpha=ctx.scaling)
        ctx.recipe = recipe and recipe.taken()
        kept = (rows,) if recipe is None else recipe.ingredients
        ctx.save_for_backward(weight, down, up, inner, dropped, *kept)
        return found.view(*x.shape[:-1], len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Any) -> Any:
        """The gradients of `x`, `down` and `up`."""
        weight, down, up, inner, dropped, *kept = ctx.saved_tensors
        rows = kept[0] if ctx.recipe is None else ctx.recipe(*kept).view(-1, weight.shape[1])
        out = outer[0].reshape(-1, weight.shape[0])
        through = (out @ up).mul_(ctx.scaling)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = out @ weight
            if dropped is None:
                of_x.addmm_(through, down)
            else:
                of_x.add_((through @ down).masked_fill_(dropped, 0))
            of_x = of_x.view(*outer[0].shape[:-1], weight.shape[1])
        of_down = through.T @ _without(rows, dropped)
        of_up = (out.T @ inner).mul_(ctx.scaling)
        return of_x, None, None, of_down, of_up, None, None, None


def drawn(rows: torch.Tensor, rate: float) -> tuple[torch.Tensor | None, float]:
    """Which inputs are dropped, and the share that is kept.

    Drawn 16 bits at a time, which is four times as fast as PyTorch's own and exact to 1 / 131,072.
    """
    share = round(rate * _WORDS)
    if not share:
        return None, 1.0
    words = torch.empty(-(-rows.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)
    below = words.view(torch.int16)[: rows.numel()].view(rows.shape)
    return below < share - _WORDS // 2, 1 - share / _WORDS


def _without(rows: torch.Tensor, dropped: torch.Tensor | None) -> torch.Tensor:
    return rows if dropped is None else rows.masked_fill(dropped, 0)


def install(model: Any) -> None:
    """Let each of the model's adapters on linear layers compute this way."""
    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = FusedLinear
