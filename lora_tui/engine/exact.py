"""Arithmetic in float32 on weights that stay in 16 bits: half the memory, the same figures."""

from collections.abc import Iterable, Mapping, Sequence
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
            return _in_parts(func, _wide(args[0]), args[1])
        if not (_holds_narrow(args) or _holds_narrow(kwargs.values())):  # most calls: at no cost
            return func(*args, **kwargs)
        return func(*tree_map(_wide, args), **tree_map(_wide, kwargs))


def _is_head(_: Any, weight: Any, bias: Any = None) -> bool:
    """Whether a layer is as large as a vocabulary: it is widened in parts."""
    return weight.dtype in _NARROW and weight.shape[0] > 2 * _ROWS and bias is None


def _in_parts(func: Any, given: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What a layer makes of its input, some of its rows at a time, without a second copy."""
    found = given.new_empty(*given.shape[:-1], len(weight))
    for start in range(0, len(weight), _ROWS):
        rows = slice(start, start + _ROWS)
        found[..., rows] = func(given, _wide(weight[rows]))
    return found


def _holds_narrow(values: Iterable[Any]) -> bool:
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.dtype in _NARROW:
                return True
        elif isinstance(value, (list, tuple)) and _holds_narrow(value):
            return True
    return False


def _wide(value: Any) -> Any:
    is_narrow = isinstance(value, torch.Tensor) and value.dtype in _NARROW
    return value.float() if is_narrow else value
