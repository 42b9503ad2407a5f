"""Arithmetic in float32 on weights that stay in 16 bits: half the memory, the same figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

_ROWS = 8192
_NARROW = frozenset({torch.bfloat16, torch.float16})


class Exact(TorchFunctionMode):
    """Within it, what torch computes with 16-bit tensors it computes in float32.

    A weight is widened where it is used and given back at once. That loses nothing, so the result
    is that of a model loaded in float32.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """One call of torch, its arguments widened."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in {"__get__", "__set__"}:  # an attribute: shape, dtype
            return func(*args, **kwargs)
        if func is torch.nn.functional.embedding:  # rows are picked, nothing is computed
            return _wide(func(*args, **kwargs))
        if func is torch.nn.functional.linear and _is_head(*args, **kwargs):
            return torch.cat(
                [func(_wide(args[0]), _wide(rows)) for rows in args[1].split(_ROWS)], -1
            )
        return func(*tree_map(_wide, args), **tree_map(_wide, kwargs))


def _is_head(_: Any, weight: Any, bias: Any = None) -> bool:
    """Whether a layer is as large as a vocabulary: it is widened in parts."""
    return weight.dtype in _NARROW and weight.shape[0] > 2 * _ROWS and bias is None


def _wide(value: Any) -> Any:
    is_narrow = isinstance(value, torch.Tensor) and value.dtype in _NARROW
    return value.float() if is_narrow else value
