"""The names of an adapter's tensors: of which layer each is, and which factor of its update."""

import re

STARTS_AT_BASE = (True, False, None, "gaussian", "orthogonal", "eva")
"""Ways to start an adapter that leave the base's weights as they are (`init_lora_weights`)."""

_FACTOR = re.compile(r"\.lora_(?:embedding_)?([AB])(\.|$)")


def half_of(name: str) -> str:
    """Which factor of an update a tensor is: A or B; empty for something else."""
    found = _FACTOR.search(name)
    return found[1] if found else ""


def module_of(name: str) -> str:
    """The layer that a tensor of an adapter belongs to."""
    return name.removeprefix("base_model.model.").partition(".lora_")[0]


def target_of(name: str) -> str:
    """The tensor of a base that a tensor of an adapter changes, as the model calls it."""
    bare = name.removeprefix("base_model.model.")
    module = re.split(r"\.lora_|\.token_adapter\.|\.base_layer\.", bare, maxsplit=1)[0]
    return bare if module == bare else f"{module}.weight"
