"""The names of an adapter's tensors: of which layer each is, and which factor of its update."""

import re

_FACTOR = re.compile(r"\.lora_(?:embedding_)?([AB])(\.|$)")


def half_of(name: str) -> str:
    """Which factor of an update a tensor is: A or B; empty for something else."""
    found = _FACTOR.search(name)
    return found[1] if found else ""


def module_of(name: str) -> str:
    """The layer that a tensor of an adapter belongs to."""
    return name.removeprefix("base_model.model.").partition(".lora_")[0]
