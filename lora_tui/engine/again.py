"""Tensors that are computed again on the way back instead of being kept.

What makes one hangs the recipe on it; what would keep it keeps the recipe's ingredients, which are
kept anyway, and computes it once for all that want it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch


@dataclass(slots=True)
class Shared:
    """One result for several takers."""

    takers: int = 0
    found: torch.Tensor | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """`function(*ingredients)` is the tensor, as it was before anyone wrote into it."""

    function: Callable[..., torch.Tensor]
    ingredients: tuple[torch.Tensor, ...]
    versions: tuple[int, ...]
    """Of the tensor and its ingredients, when it was made."""

    shared: Shared = field(default_factory=Shared)

    def taken(self) -> "Recipe":
        """For one more that will ask; autograd keeps the ingredients for it."""
        self.shared.takers += 1
        return replace(self, ingredients=())

    def __call__(self, *ingredients: torch.Tensor) -> torch.Tensor:
        """The tensor again; the last taker leaves nothing behind."""
        shared = self.shared
        found = shared.found
        if found is None:
            found = self.function(*ingredients)
        shared.takers -= 1
        shared.found = found if shared.takers > 0 else None
        return found


def can_be(tensor: torch.Tensor, function: Callable[..., torch.Tensor], *of: torch.Tensor) -> None:
    """Say how to compute a tensor again, where there will be a way back."""
    if not torch.is_grad_enabled():
        return
    tensor.again = Recipe(function, tuple(one.detach() for one in of), _versions(tensor, *of))


def recipe_of(tensor: torch.Tensor) -> Recipe | None:
    """How to compute a tensor again, where that is known and still true."""
    recipe: Recipe | None = getattr(tensor, "again", None)
    if recipe is None or recipe.versions != _versions(tensor, *recipe.ingredients):
        return None
    return recipe


def _versions(*tensors: torch.Tensor) -> tuple[int, ...]:
    return tuple(one._version for one in tensors)
