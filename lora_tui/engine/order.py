"""Which row comes when."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch.utils.data import Sampler
from transformers.trainer_pt_utils import get_length_grouped_indices


class Order(Sampler[int]):
    """The rows of any epoch in their order, told by its number alone.

    Transformers' sampler for rows of like length draws from the one state of torch, and a resumed
    run would go on in another order.
    """

    def __init__(
        self, lengths: Sequence[int], *, seed: int, stages: Sequence[int] = (), together: int = 0
    ) -> None:
        """Begin at epoch 0.

        Args:
            lengths: How long each row is.
            seed: What everything is drawn from.
            stages: In the first epoch, rows up to each of these numbers come before those behind
                it: the rows that a branch of more steps adds follow those that its run began with.
            together: Rows of like length stand together in groups of so many; 0 shuffles all.
        """
        self.lengths, self.seed, self.together = lengths, seed, together
        self.epoch = 0
        inner = (stage for stage in stages if stage < len(lengths))
        self._ends = sorted({0, *inner, len(lengths)})

    def set_epoch(self, epoch: int) -> None:
        """Which pass over the rows comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        draw = torch.Generator().manual_seed(self.seed + self.epoch)
        for start, end in pairwise([0, len(self)] if self.epoch else self._ends):
            for number in self._drawn(self.lengths[start:end], draw):
                yield start + number

    def _drawn(self, lengths: Sequence[int], draw: torch.Generator) -> list[int]:
        if self.together:
            return list(get_length_grouped_indices(lengths, self.together, generator=draw))
        return torch.randperm(len(lengths), generator=draw).tolist()
