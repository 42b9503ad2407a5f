"""How far a tuned model is from its base: in loss, in its next-token distributions, in weights."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from peft.utils.integrations import dequantize_module_weight
from torch.nn.functional import cross_entropy

from lora_tui.engine.collate import Collator
from lora_tui.engine.masking import IGNORED, Example

T = TypeVar("T")

MOST_LOGITS = 1 << 26
"""Logits computed at once: 256 MB in float32."""


@torch.no_grad()
def held_out_loss(
    model: Any, examples: Sequence[Example], pad: int, stop: Any, *, most: int = MOST_LOGITS
) -> float:
    """The mean negative log-likelihood of the trained tokens of `examples`, in nats.

    At most `most` logits are computed at once, or those of one row.
    """
    total, count = 0.0, 0
    vocabulary = model.config.get_text_config().vocab_size
    for batch in batches(examples, lambda row: len(row.input_ids), most // vocabulary):
        stop.check()
        inputs = Collator(pad)(
            [{"input_ids": row.input_ids, "labels": row.labels} for row in batch]
        )
        inputs = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        labels = inputs.pop("labels")[:, 1:]
        logits = model(**inputs).logits[:, :-1]
        wanted = labels != IGNORED
        losses = cross_entropy(logits[wanted].float(), labels[wanted], reduction="sum")
        total += float(losses)
        count += int(wanted.sum())
    return total / count


def batches(rows: Iterable[T], length: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """Rows of like length together, of `most` tokens once filled up, or a single row."""
    batch: list[T] = []
    for row in sorted(rows, key=length):
        if batch and (len(batch) + 1) * length(row) > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.no_grad()
def next_tokens(model: Any, prompt: Sequence[int], answer: Sequence[int]) -> torch.Tensor:
    """Log-probabilities of the next token along an answer, from its first to behind its last.

    Returns:
        Shape (answer + 1, vocabulary), float32.
    """
    ids = torch.tensor([[*prompt, *answer]], device=model.device)
    logits = model(input_ids=ids).logits[0, len(prompt) - 1 :]
    return logits.float().log_softmax(-1)


def divergence(tuned: torch.Tensor, base: torch.Tensor) -> float:
    """The sum over places of KL(tuned || base), in nats, from log-probabilities."""
    return float((tuned.exp() * (tuned - base)).sum(-1).clamp_min(0).sum())


Norms = dict[str, Any]


@torch.no_grad()
def of_adapter(layers: Sequence[tuple[str, Any]], name: str) -> Norms | None:
    """The Frobenius norm of an adapter's update, by layer of the model.

    None where a layer's update has another form than LoRA's or DoRA's on a linear layer.

    Args:
        layers: The model's LoRA layers with their names.
        name: What PEFT calls the adapter.
    """
    if any(layer.use_dora.get(name, False) and not _is_linear(layer) for _, layer in layers):
        return None
    return _by_layer(
        (module, _update(layer, name), _squared(_weight(layer))) for module, layer in layers
    )


def _is_linear(layer: Any) -> bool:
    return isinstance(layer.get_base_layer(), torch.nn.Linear)


@torch.no_grad()
def of_whole(base: Any, tuned: Any) -> Norms | None:
    """The same for a model of which every weight was trained.

    None where the two do not have the same weights, as beside a base in 4 bits.
    """
    before = {
        key.replace(".base_layer.", "."): weight
        for key, weight in base.named_parameters()
        if ".lora_" not in key
    }
    after = dict(tuned.named_parameters())
    if {key: weight.shape for key, weight in before.items()} != {
        key: weight.shape for key, weight in after.items()
    }:
        return None
    return _by_layer(
        (key, _squared(weight.float() - before[key].float()), _squared(before[key]))
        for key, weight in after.items()
    )


def _update(layer: Any, name: str) -> float:
    """The squared norm of what an adapter adds to a layer's weight."""
    if layer.use_dora.get(name, False):
        # W' = m (W + s BA) / |W + s BA|, norms by row (arXiv 2402.09353, eq. 5).
        before = _weight(layer).float()
        moved = before + layer.get_delta_weight(name).float()
        magnitude = layer.lora_magnitude_vector[name].weight.float()
        after = moved * (magnitude / moved.norm(dim=1))[:, None]
        return _squared(after - before)
    if name not in layer.lora_A:  # an embedding
        return _squared(layer.get_delta_weight(name))
    # |BA|^2 = trace(B'B AA'): r x r instead of out x in.
    a, b = layer.lora_A[name].weight.double(), layer.lora_B[name].weight.double()
    return float(layer.scaling[name] ** 2 * ((b.T @ b) * (a @ a.T)).sum().clamp_min(0))


def _weight(layer: Any) -> torch.Tensor:
    weight: torch.Tensor = dequantize_module_weight(layer.get_base_layer())
    return weight


def _squared(weight: torch.Tensor) -> float:
    return float(weight.detach().double().square().sum())


def _by_layer(parts: Iterable[tuple[str, float, float]]) -> Norms:
    """`layers` and `relative` by the layer's number; `other` is what lies outside of them."""
    moved: dict[int, float] = defaultdict(float)
    held: dict[int, float] = defaultdict(float)
    other = 0.0
    for name, update, weight in parts:
        found = re.search(r"\.(\d+)\.", name)
        if found is None:
            other += update
            continue
        moved[int(found[1])] += update
        held[int(found[1])] += weight
    numbers = range(max(moved, default=-1) + 1)
    return {
        "layers": [moved[at] ** 0.5 for at in numbers],
        "relative": [(moved[at] / held[at]) ** 0.5 if held[at] else 0.0 for at in numbers],
        "other": other**0.5,
    }
