"""The most memory a training run takes, by part, before it runs: no torch.

Sizes are bytes, widths bytes a number. What autograd keeps was listed with
`torch.autograd.graph.saved_tensors_hooks`; docs/memory.md sets the sums against measured runs.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable
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

_PROGRAM = 570_000_000
"""Interpreter, libraries and tokenizer: measured on a tiny model, alike for both backends."""

_HOLES = 0.4
"""What a CPU's heap takes beyond the activations in it: freed temporaries leave holes between the
tensors kept, and none of it goes back to the system (glibc; measured)."""

_NF4 = 1 / 2 + 1 / 64 + 4 / (64 * 256)
"""Two weights a byte, an 8-bit scale for 64, a 32-bit one for 256 of those (bitsandbytes)."""

_ADAM_8BIT = 2 * (1 + 4 / 256)
"""Two moments a weight of 8 bits, a 32-bit scale for 256 (bitsandbytes)."""

_LOGITS = {
    # float32, its softmax, and the gradients of both its uses (engine.fused_head)
    ("transformers", "cpu"): (1 << 25, 16),
    # float32 worked on in place, and a copy in bfloat16 (unsloth_zoo.cpu.ops)
    ("unsloth", "cpu"): (1 << 24, 6),
    # one tile of 4,096 tokens and one of gradients, in bfloat16 (trl.kernels.chunked_logprob)
    ("transformers", "cuda"): (4096 * 32_768, 4),
    # at most 4 GB (unsloth_zoo.fused_losses)
    ("unsloth", "cuda"): (1 << 28, 16),
}
"""How many logits the loss computes at once, and the bytes each takes at the most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What `config.json` says of a model; `intermediate` is the width of the MLP a token uses."""

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

    `weights` are the base and its copy in the format of the arithmetic; `activations` what the way
    back needs; `logits` the scores over the vocabulary; `gradients`, in full fine-tuning of one
    batch a step, only what they take beyond the room that activations and logits leave them.
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
        """The parts by name."""
        return {item.name: getattr(self, item.name) for item in fields(self)}

    @property
    def total(self) -> int:
        """All of it."""
        return sum(self.parts.values())


def read_shape(folder: Path) -> Shape:
    """The shape of the model in `folder`, whatever its architecture calls things.

    Raises:
        LoraTuiError: config.json cannot be read, or lacks something needed.
    """
    path = folder / "config.json"
    try:
        config: dict[str, Any] = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise LoraTuiError(f"{path} cannot be read: {error}.", "Fetch the model again.") from error
    for name in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(name), dict):
            config |= config[name]

    def size(*names: str, default: int | None = None) -> int:
        value = next((config[name] for name in names if config.get(name) is not None), default)
        if type(value) is int and value > 0:
            return value
        summary = f"{path} does not say {names[0]}, so the memory cannot be estimated."
        raise LoraTuiError(summary, "`lora-tui check` still measures it.")

    hidden = size("hidden_size", "n_embd", "d_model")
    heads = size("num_attention_heads", "n_head", "n_heads")
    mlp = ("moe_intermediate_size", "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
    activation = str(config.get("hidden_act") or config.get("hidden_activation"))
    return Shape(
        layers=size("num_hidden_layers", "n_layer", "n_layers"),
        hidden=hidden,
        intermediate=size("num_experts_per_tok", default=1) * size(*mlp, default=4 * hidden),
        heads=heads,
        kv_heads=size("num_key_value_heads", default=1 if config.get("multi_query") else heads),
        head_dim=size("head_dim", default=max(1, hidden // heads)),
        vocabulary=size("vocab_size"),
        tied=config.get("tie_word_embeddings") is not False,
        gated=activation in {"silu", "gelu_pytorch_tanh"},  # Llama's kin and Gemma's
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
    """The peak memory of a run: of torch on a GPU, else of the whole process.

    Args:
        longest: Tokens of the longest row.
        trained: How many of them are trained; None is all.

    Raises:
        LoraTuiError: no layer of the base has one of the target names.
    """
    run = _Run(preset, base, shape, platform)
    rows = preset.training.per_device_train_batch_size
    number = count_trainable(base, preset).parameters
    trainable = number * run.width
    held = kept = run.kept(rows * longest)
    if not platform.on_gpu:
        held += round(_HOLES * kept)
    copies = run.copied * _elements(run.matrices)
    logits = run.logits(rows * (longest if trained is None else trained))
    gradients = trainable
    if run.full and shape.tied:  # the head's and the embedding's, before they are added up
        gradients += shape.vocabulary * shape.hidden * run.width
    if run.full and preset.training.gradient_accumulation_steps == 1:
        # They come as activations go; a heap takes back no more than its holes.
        room = logits + (held + copies if platform.on_gpu else held - kept)
        gradients = max(0, gradients - room)
    return Memory(
        program=0 if platform.on_gpu else _PROGRAM,
        weights=run.weights() + copies,
        adapter=0 if run.full else trainable + (number * run.computed if run.computed < 4 else 0),
        gradients=gradients,
        optimiser=run.optimiser(number),
        activations=held,
        logits=logits,
    )


class _Run:
    """What the parts are counted from."""

    def __init__(self, preset: Preset, base: Base, shape: Shape, platform: Platform) -> None:
        self.training, self.lora = preset.training, preset.lora
        self.base, self.shape, self.on_gpu = base, shape, platform.on_gpu
        self.loss = (platform.backend, platform.device)
        self.full = preset.lora.method == "full"
        self.four_bit = preset.model.load_in_4bit
        self.stored = _WIDTH[weights_dtype(preset, platform)]
        self.computed = _WIDTH[compute_dtype(preset, platform)]
        self.width = self.stored if self.full else 4  # engine.trainer keeps adapters in float32
        self.copied = self.computed if self.computed != self.stored else 0  # by autocast
        self.fused = self.loss == ("unsloth", "cuda")  # its kernels keep less (unsloth.kernels)
        self.adapted = [] if self.full else targeted(base.layers, preset.lora)
        self.matrices = targeted(base.layers, replace(preset.lora, target_modules="all-linear"))

    def weights(self) -> int:
        packed = _elements(self.matrices) if self.four_bit else 0
        return round(packed * _NF4) + (self.base.parameters - packed) * self.stored

    def optimiser(self, trainable: int) -> int:
        """Two moments a weight; Adafactor a row and a column a matrix (transformers); SGD none."""
        if self.training.optim == "adafactor":
            extra = 0 if self.full else 2 * self.lora.r
            layers = self.adapted or self.matrices
            return 4 * sum(layer.outputs + layer.inputs + extra for layer in layers)
        if self.training.optim == "sgd":
            return 0
        return round(trainable * (_ADAM_8BIT if "8bit" in self.training.optim else 2 * self.width))

    def kept(self, tokens: int) -> int:
        """What autograd keeps of all layers; with checkpoints their inputs, and one layer anew."""
        layers, block = self.shape.layers, tokens * self.kept_a_token()
        if self.lora.use_dora and self.lora.lora_dropout:
            # It multiplies by the matrices once more, in a copy (peft.tuners.lora.dora).
            block += self.computed * _elements(self.adapted) // layers
        if self.training.gradient_checkpointing:
            return tokens * layers * self.shape.hidden * self.stored + block
        return layers * block

    def kept_a_token(self) -> int:
        """Bytes a token that autograd keeps of one layer."""
        shape, computed = self.shape, self.computed
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        if self.training.per_device_train_batch_size > 1:
            keys = queries  # beside a padding mask each head gets a copy (transformers' sdpa)
        kept = computed * (2 * queries + 2 * keys) + 4 * shape.heads  # q, out, k, v, and sums
        kept += 2 * shape.hidden * (computed if self.fused else 4)  # what the norms take in
        kept += computed * shape.intermediate * (2 if self.fused else 3 if shape.gated else 1)
        if self.full:
            # What each matrix takes in: q, k, v share it, and gate, up, unless it is cast.
            inputs = 2 if not self.copied else 5 if shape.gated else 4
            kept += 2 * shape.hidden * self.stored  # what the norms give out
            kept += computed * (inputs * shape.hidden + shape.intermediate)
        elif self.fused:
            kept += computed * 2 * shape.hidden
        return kept + self.kept_by_adapters() // shape.layers

    def kept_by_adapters(self) -> int:
        """Bytes a token that all adapters keep: inputs, and which were dropped (peft, torch)."""
        dropped = 0 if not self.lora.lora_dropout else 1 if self.on_gpu else 4
        inputs = dropped + (0 if self.fused else self.computed)
        outputs = 2 * self.computed if self.lora.use_dora else 0
        inner = self.computed * self.lora.r
        return sum(inputs * one.inputs + outputs * one.outputs + inner for one in self.adapted)

    def logits(self, scored: int) -> int:
        """The scores of `scored` tokens, a chunk at a time, and the head as it is multiplied."""
        chunk, width = _LOGITS[self.loss]
        head = self.copied
        if self.full and self.loss == ("unsloth", "cpu"):
            head += 4  # its gradient comes on the way forward already
        vocabulary = self.shape.vocabulary
        return min(scored * vocabulary, chunk) * width + head * vocabulary * self.shape.hidden


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
    """The largest per_device_train_batch_size that fits into `free` bytes; None if not even 1."""

    def too_much(rows: int) -> bool:
        training = replace(preset.training, per_device_train_batch_size=rows)
        larger = replace(preset, training=training)
        memory = estimate(larger, base, shape, platform, longest=longest, trained=trained)
        return memory.total > free

    return bisect_left(range(1, MOST_ROWS + 1), x=True, key=too_much) or None
