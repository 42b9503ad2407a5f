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

_PROGRAM = 530_000_000
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

    def size(what: str, *names: str, default: int | None = None) -> int:
        value = next((config[name] for name in names if config.get(name) is not None), default)
        if type(value) is int and value > 0:
            return value
        raise LoraTuiError(
            f"{path} does not say {what} ({names[0]}): the memory cannot be estimated.",
            "`lora-tui check` still measures it.",
        )

    hidden = size("how wide a layer is", "hidden_size", "n_embd", "d_model")
    heads = size("how many heads there are", "num_attention_heads", "n_head", "n_heads")
    kv_heads = 1 if config.get("multi_query") is True else heads
    experts = size("how many experts a token uses", "num_experts_per_tok", default=1)
    mlp = ("moe_intermediate_size", "intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
    activation = str(config.get("hidden_act") or config.get("hidden_activation"))
    return Shape(
        layers=size("how many layers there are", "num_hidden_layers", "n_layer", "n_layers"),
        hidden=hidden,
        intermediate=experts * size("how wide an MLP is", *mlp, default=4 * hidden),
        heads=heads,
        kv_heads=size("how many key heads there are", "num_key_value_heads", default=kv_heads),
        head_dim=size("how wide a head is", "head_dim", default=max(1, hidden // heads)),
        vocabulary=size("how large the vocabulary is", "vocab_size"),
        tied=config.get("tie_word_embeddings") is not False,
        gated=activation == "silu" or "gelu_pytorch_tanh" in activation,  # Llama's kin and Gemma's
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
    """The peak memory of a run whose longest row has `longest` tokens, `trained` of them trained.

    On a GPU it is what torch has allocated, on the CPU the whole process. None trains every token.

    Raises:
        LoraTuiError: no layer of the base has one of the target names.
    """
    run = _Run(preset, base, shape, platform)
    training, full = preset.training, run.full
    tokens = training.per_device_train_batch_size * longest
    scored = tokens if trained is None else training.per_device_train_batch_size * trained
    trainable = count_trainable(base, preset).parameters
    width = run.stored if full else 4  # engine.trainer keeps adapters in float32
    held = kept = run.kept(tokens)
    if not platform.on_gpu:
        held += round(_HOLES * kept)
    copies, logits = run.copied * _elements(run.matrices), run.logits(scored)
    gradients = trainable * width
    if full and shape.tied:  # the head's and the embedding's, before they are added up
        gradients += shape.vocabulary * shape.hidden * width
    if full and training.gradient_accumulation_steps == 1:
        # They come as activations go; a heap takes back no more than its holes.
        room = logits + (held + copies if platform.on_gpu else held - kept)
        gradients = max(0, gradients - room)
    return Memory(
        program=0 if platform.on_gpu else _PROGRAM,
        weights=run.weights() + copies,
        adapter=0 if full else trainable * (4 + (run.computed if run.computed < 4 else 0)),
        gradients=gradients,
        optimiser=run.optimiser(trainable * width, trainable),
        activations=held,
        logits=logits,
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
        """Width of the base's weights."""
        return _WIDTH[weights_dtype(self.preset, self.platform)]

    @property
    def computed(self) -> int:
        """Width of the arithmetic."""
        return _WIDTH[compute_dtype(self.preset, self.platform)]

    @property
    def copied(self) -> int:
        """Width of autocast's copy of the base's matrices, 0 without one."""
        return self.computed if self.computed != self.stored else 0

    @property
    def matrices(self) -> list[Layer]:
        """The linear layers without the head."""
        return targeted(self.base.layers, replace(self.preset.lora, target_modules="all-linear"))

    @property
    def adapted(self) -> list[Layer]:
        return [] if self.full else targeted(self.base.layers, self.preset.lora)

    @property
    def fused(self) -> bool:
        """Whether Unsloth's own kernels compute, which keep less (unsloth.kernels)."""
        return self.platform.on_gpu and self.platform.backend == "unsloth"

    def weights(self) -> int:
        packed = _elements(self.matrices) if self.preset.model.load_in_4bit else 0
        return round(packed * _NF4) + (self.base.parameters - packed) * self.stored

    def optimiser(self, size: int, trainable: int) -> int:
        """Two moments a weight; Adafactor a row and a column a matrix (transformers); SGD none."""
        name, extra = self.preset.training.optim, 0 if self.full else 2 * self.preset.lora.r
        if name == "adafactor":
            layers = self.adapted or self.matrices
            return 4 * sum(layer.outputs + layer.inputs + extra for layer in layers)
        if name == "sgd":
            return 0
        return round(_ADAM_8BIT * trainable) if "8bit" in name else 2 * size

    def kept(self, tokens: int) -> int:
        """What autograd keeps of all layers; with checkpoints their inputs, and one layer anew."""
        layers, block = self.shape.layers, tokens * self.kept_a_token()
        if self.preset.lora.use_dora and self.preset.lora.lora_dropout:
            # It multiplies by the matrices once more, in a copy (peft.tuners.lora.dora).
            block += self.computed * _elements(self.adapted) // layers
        if self.preset.training.gradient_checkpointing:
            return tokens * layers * self.shape.hidden * self.stored + block
        return layers * block

    def kept_a_token(self) -> int:
        """Bytes a token that autograd keeps of one layer."""
        shape, computed = self.shape, self.computed
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        if self.preset.training.per_device_train_batch_size > 1:
            keys = (
                queries  # beside a padding mask each head has a copy (integrations.sdpa_attention)
            )
        attention = (
            computed * (2 * queries + 2 * keys) + 4 * shape.heads
        )  # q, out, k, v, their sums
        norms = 2 * shape.hidden * (computed if self.fused else 4)
        mlp = computed * shape.intermediate * (2 if self.fused else 3 if shape.gated else 1)
        if self.full:
            # What each matrix multiplies: shared by q, k, v and by gate, up, unless it is cast.
            inputs = 2 if not self.copied else 5 if shape.gated else 4
            norms += 2 * shape.hidden * self.stored
            mlp += computed * (inputs * shape.hidden + shape.intermediate)
        elif self.fused:
            mlp += computed * 2 * shape.hidden
        return attention + norms + mlp + self.kept_by_adapters() // shape.layers

    def kept_by_adapters(self) -> int:
        """Bytes a token that all adapters keep: inputs, and which were dropped (peft, torch)."""
        lora, computed = self.preset.lora, self.computed
        dropped = 0 if not lora.lora_dropout else 1 if self.platform.on_gpu else 4
        width = dropped + (0 if self.fused else computed)
        each = [width * layer.inputs + computed * lora.r for layer in self.adapted]
        dora = [2 * computed * layer.outputs * lora.use_dora for layer in self.adapted]
        return sum(each) + sum(dora)

    def logits(self, scored: int) -> int:
        """The scores of the trained tokens, a chunk at a time, and the head as it is multiplied."""
        chunk, width = _LOGITS[self.platform.backend, self.platform.device]
        head = self.shape.vocabulary * self.shape.hidden
        # Unsloth's loss for a CPU makes the head's gradient on the way forward, in float32.
        early = (
            4
            if self.full and (self.platform.backend, self.platform.device) == ("unsloth", "cpu")
            else 0
        )
        return min(scored * self.shape.vocabulary, chunk) * width + head * (self.copied + early)


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

    def fits(rows: int) -> bool:
        training = replace(preset.training, per_device_train_batch_size=rows)
        larger = replace(preset, training=training)
        memory = estimate(larger, base, shape, platform, longest=longest, trained=trained)
        return memory.total <= free

    return bisect_left(range(1, MOST_ROWS + 1), x=True, key=lambda rows: not fits(rows)) or None
