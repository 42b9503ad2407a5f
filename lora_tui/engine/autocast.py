"""What autocast does for PyTorch's own operations, for those written here."""

import torch


def autocast_dtype(x: torch.Tensor) -> torch.dtype:
    """What PyTorch would compute a product of `x` in, on a CPU."""
    return torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else x.dtype
