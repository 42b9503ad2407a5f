"""The most memory a training run will take, by part, before it runs: no torch.

Each part counts tensors that exist when the last layer has been computed and the way back begins,
which is when the most is held. Sizes are in bytes; widths are bytes a number. What autograd keeps
was listed with `torch.autograd.graph.saved_tensors_hooks`; `benchmarks/memory.py` sets the result
against measured runs (docs/memory.md).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.parameters import Base, Layer, count_trainable, targeted
from lora_tui.core.platforms import Platform, compute_dtype, weights_dtype
from lora_tui.core.presets import Preset

MOST_ROWS = 4096
"""The largest batch a preset can name."""

_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}

_PROGRAM = 530_000_000
"""Interpreter, libraries and tokenizer, as measured on a tiny model; the same by both backends. A
GPU's memory holds none of it."""

_HOLES = 0.4
"""What the C allocator adds to the activations on a CPU: freed temporaries leave holes in the heap
that the next kept tensor does not fill, and none goes back to the system. Measured."""

_NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes a weight of a 4-bit base: two in a byte, one 8-bit scale for 64 of them, and one 32-bit
scale for 256 scales (bitsandbytes, double quantisation)."""

_ADAM_8BIT = 2 * (1 + 4 / 256)
"""Bytes a trained weight: two moments of 8 bits, each with a 32-bit scale for 256 of them."""

_CHUNKS = {
    # float32: kept, the softmax, and the gradients of both its uses (engine.fused_head)
    ("transformers", False): (1 << 25, 16),
    # float32 worked on in place, and its copy in bfloat16 (unsloth_zoo.cpu.ops)
    ("unsloth", False): (1 << 24, 6),
    # one tile, and one of gradients (trl.kernels.chunked_logprob)
    ("transformers", True): (4096 * 32_768, 4),
    # at most 4 GB (unsloth_zoo.fused_losses)
    ("unsloth", True): (1 << 28, 16),
}
"""Logits that a backend computes at once, on a GPU or not, and the bytes each of them takes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What `config.json` says of a model's layers; `intermediate` is the width one token uses."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    gated: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak of a run by part, in bytes.

    `program` is the interpreter with its libraries, `weights` the base with the copies that
    computing makes of it, `activations` what the way back needs, `logits` the scores over the
    vocabulary and what the loss makes of them.
    """

    program: int
    weights: int
    adapter: int
    gradients: int
    optimiser: int
    activations: int
    logits: int

    @property
    def parts(self) -> dict[str, int]:
        """The parts by name, in the order they come about."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())


def read_shape(folder: Path) -> Shape:
    """The shape of the model in `folder`, whatever its architecture calls things.

    Raises:
        LoraTuiError: there is no readable config.json, or it lacks something needed.
    """
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise LoraTuiError(f"{path} cannot be read: {error}.", "Fetch the model again.") from error
    if not isinstance(config, dict):
        raise LoraTuiError(f"{path} does not describe a model.", "Fetch the model again.")
    for name in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(name), dict):
            config = {**config, **config[name]}
    return _shape(config, path)


def _shape(config: Mapping[str, Any], path: Path) -> Shape:
    def size(what: str, *names: str, default: int | None = None) -> int:
        values = [config[name] for name in names if config.get(name) is not None]
        value = values[0] if values else default
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise LoraTuiError(
                f"{path} does not say {what} ({names[0]}), so no memory can be estimated.",
                "A run works all the same.",
            )
        return value

    hidden = size("how wide a layer is", "hidden_size", "n_embd", "d_model")
    heads = size("how many attention heads there are", "num_attention_heads", "n_head", "n_heads")
    shared = 1 if config.get("multi_query") is True else heads
    experts = size("how many experts a token uses", "num_experts_per_tok", default=1)
    wide = ("ffn_dim", "n_inner", "d_ff", "ffn_hidden_size")
    names = ("moe_intermediate_size", "intermediate_size", *wide)
    activation = str(config.get("hidden_act") or config.get("activation_function") or "")
    return Shape(
        layers=size("how many layers there are", "num_hidden_layers", "n_layer", "n_layers"),
        hidden=hidden,
        intermediate=experts * size("how wide an MLP is", *names, default=4 * hidden),
        heads=heads,
        kv_heads=size("how many key heads there are", "num_key_value_heads", default=shared),
        head_dim=size("how wide a head is", "head_dim", default=max(1, hidden // heads)),
        vocabulary=size("how large the vocabulary is", "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", True)),
        gated=activation in {"silu", "swish"} or "gated" in activation or "glu" in activation,
    )


def estimate(
    preset: Preset,
    base: Base,
    shape: Shape,
    platform: Platform,
    *,
    longest: int,
    trained: int | None = None,
) -> Memory:
    """The peak memory of a run of `preset`.

    Args:
        preset: What is run.
        base: Its model's layers.
        shape: Its model's shape.
        platform: What computes.
        longest: Tokens of the longest row, cut at `max_seq_length`.
        trained: Trained tokens in it; None counts all of them.

    Raises:
        LoraTuiError: no layer of the base has one of the target names.
    """
    run = _Run(preset, base, shape, platform)
    rows = preset.training.per_device_train_batch_size
    scored = rows * (longest if trained is None else min(trained, longest))
    trainable = count_trainable(base, preset).parameters
    gradients = trainable * run.trained_width
    if run.full and shape.tied:
        # As the head's and as the embedding's, before one is added to the other.
        gradients += shape.vocabulary * shape.hidden * run.trained_width
    adapter = 0 if run.full else trainable * (4 + run.copied_width(4))
    return Memory(
        program=0 if platform.on_gpu else _PROGRAM,
        weights=run.weights(),
        adapter=adapter,
        gradients=gradients,
        optimiser=run.optimiser(trainable),
        activations=run.activations(rows * longest),
        logits=run.logits(rows * longest, scored),
    )


@dataclass(frozen=True, slots=True)
class _Run:
    """What the parts are counted from."""

    preset: Preset
    base: Base
    shape: Shape
    platform: Platform

    @property
    def full(self) -> bool:
        return self.preset.lora.method == "full"

    @property
    def stored(self) -> int:
        """Bytes a number of the base."""
        return _WIDTH[weights_dtype(self.preset, self.platform)]

    @property
    def computed(self) -> int:
        """Bytes a number of the arithmetic."""
        return _WIDTH[compute_dtype(self.preset, self.platform)]

    @property
    def trained_width(self) -> int:
        """Bytes a trained number: an adapter is float32 whatever the base is."""
        return self.stored if self.full else 4

    def copied_width(self, stored: int) -> int:
        """Bytes a number of autocast's copy of weights, which is kept for the way back."""
        return self.computed if stored != self.computed else 0

    @property
    def matrices(self) -> tuple[Layer, ...]:
        """The linear layers without the head."""
        return tuple(
            targeted(self.base.layers, replace(self.preset.lora, target_modules="all-linear"))
        )

    def weights(self) -> int:
        linear = _elements(self.matrices)
        if self.preset.model.load_in_4bit:
            return round(linear * _NF4) + (self.base.parameters - linear) * self.stored
        return self.base.parameters * self.stored + linear * self.copied_width(self.stored)

    def optimiser(self, trainable: int) -> int:
        """What the optimiser remembers of each trained weight (torch.optim, bitsandbytes)."""
        name, lora = self.preset.training.optim, self.preset.lora
        if name == "sgd":
            return 0
        if name == "adafactor":  # transformers: a row and a column for each matrix
            layers = self.matrices if self.full else targeted(self.base.layers, lora)
            extra = 0 if self.full else 2 * lora.r
            return 4 * sum(layer.outputs + layer.inputs + extra for layer in layers)
        if "8bit" in name:
            return round(trainable * _ADAM_8BIT)
        return 2 * trainable * self.trained_width

    def activations(self, tokens: int) -> int:
        """What autograd keeps of all layers, and what holding it costs."""
        layers, kept = self.shape.layers, self.kept_a_token()
        lora = self.preset.lora
        dora = 0
        if lora.use_dora and lora.lora_dropout and not self.full:
            # The base's matrices are multiplied once more, in a copy (peft.tuners.lora.dora).
            dora = self.computed * _elements(targeted(self.base.layers, lora))
        if self.preset.training.gradient_checkpointing:  # each layer's input; one layer anew
            total = tokens * (layers * self.shape.hidden * self.stored + kept) + dora // layers
        else:
            total = tokens * layers * kept + dora
        return total if self.platform.on_gpu else round(total * (1 + _HOLES))

    def kept_a_token(self) -> int:
        """Bytes a token that autograd keeps of one layer."""
        shape, computed = self.shape, self.computed
        fused = self.platform.on_gpu and self.platform.backend == "unsloth"  # unsloth.kernels
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        if self.preset.training.per_device_train_batch_size > 1:
            keys = queries  # with padding to mask, each head gets its own copy
        kept = computed * (2 * queries + 2 * keys) + 4 * shape.heads  # q, out, k, v, logsumexp
        # Two norms keep their input, in float32 unless fused; one that is trained its output too.
        kept += 2 * shape.hidden * (computed if fused else 4)
        kept += computed * shape.intermediate * (2 if fused else 3 if shape.gated else 1)
        if self.full:
            # The matrices' inputs: q, k and v share one, gate and up another, unless each is cast.
            inputs = 2 if not self.copied_width(self.stored) else 5 if shape.gated else 4
            kept += 2 * shape.hidden * self.stored
            return kept + computed * (inputs * shape.hidden + shape.intermediate)
        return kept + (2 * shape.hidden * computed if fused else 0) + self.kept_by_adapters(fused)

    def kept_by_adapters(self, fused: bool) -> int:
        """Bytes a token that the adapters of one layer keep: inputs, and which were dropped."""
        lora, layers = self.preset.lora, targeted(self.base.layers, self.preset.lora)
        dropped = 0 if not lora.lora_dropout else 1 if self.platform.on_gpu else 4
        width = dropped + (0 if fused else self.computed)
        kept = sum(width * layer.inputs + self.computed * lora.r for layer in layers)
        if lora.use_dora:
            kept += sum(2 * self.computed * layer.outputs for layer in layers)
        return kept // self.shape.layers

    def logits(self, tokens: int, scored: int) -> int:
        """The scores of the trained tokens over the vocabulary, a chunk at a time."""
        chunk, width = _CHUNKS[self.platform.backend, self.platform.on_gpu]
        head = self.shape.vocabulary * self.shape.hidden * self.copied_width(self.stored)
        return min(scored * self.shape.vocabulary, chunk) * width + head


def _elements(layers: Iterable[Layer]) -> int:
    return sum(layer.outputs * layer.inputs for layer in layers)


def largest_batch(
    preset: Preset,
    base: Base,
    shape: Shape,
    platform: Platform,
    *,
    longest: int,
    free: int,
    trained: int | None = None,
) -> int | None:
    """The largest per_device_train_batch_size that fits into `free` bytes; None if not even 1.

    Args as for `estimate`.
    """

    def fits(rows: int) -> bool:
        training = replace(preset.training, per_device_train_batch_size=rows)
        changed = replace(preset, training=training)
        found = estimate(changed, base, shape, platform, longest=longest, trained=trained)
        return found.total <= free

    if not fits(1):
        return None
    low, high = 1, MOST_ROWS + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
