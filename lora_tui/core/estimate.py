"""The most memory a training run takes, by part, before it runs: no torch.

Sizes are bytes, widths bytes a number. What autograd keeps was listed with
`torch.autograd.graph.saved_tensors_hooks`; docs/memory.md sets the sums against measured runs.
"""

import json
from bisect import bisect_left
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.parameters import Base, Layer, count_trainable, targeted
from lora_tui.core.platforms import Platform, compute_dtype, weights_dtype
from lora_tui.core.presets import Preset

MOST_ROWS = 4096  # the largest batch a preset can name

_WIDTH = {"float32": 4, "bfloat16": 2, "float16": 2}
_NF4 = 1 / 2 + 1 / 64 + 4 / (64 * 256)  # bytes a weight: two a byte, their scales, scales of those
_ADAM_8BIT = 2 * (1 + 4 / 256)  # bytes a weight: two moments, each with scales (bitsandbytes)
_PROGRAM = 525_000_000  # interpreter, libraries, tokenizer: measured on a tiny model
_KERNEL, _KERNELS = 650_000, 1024  # oneDNN: kept of a bfloat16 product (measured); of how many
_GRID = 32  # tokens that lengths of batches are rounded up to (engine.row_attention)
_WORKSPACES = 2 << 25  # cuBLAS, one each for the ways there and back: measured on a Hopper GPU
_HOLES = 0.5
"""What a CPU's heap (glibc) takes beyond the activations in it: freed temporaries leave holes that
do not go back to the system. Measured; with checkpoints half as many."""

_LOGITS = {
    "cpu": (1 << 22, 8),  # float32, and once more as they are summed up (engine.fused_head)
    "transformers": (1 << 26, 4),  # a tile each way (trl.kernels.chunked_logprob)
    "unsloth": (5 << 24, 4),  # in float32 (unsloth_zoo.fused_losses.fused_linear)
}
"""How many logits the loss computes at once, and the bytes each takes at the most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What `config.json` says of a model; `intermediate` is the width of the MLP a token uses.

    `gated`: its MLP has a gate; `silu`: the gate is SiLU's.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    tied: bool
    gated: bool
    silu: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """The peak of a run by part, in bytes.

    In full fine-tuning of one batch a step, `gradients` are what they take beyond the room that
    activations and logits leave them as they go.
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
    """The shape of the model in `folder`; LoraTuiError says what config.json lacks."""
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
        silu=activation == "silu",
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
    """The peak of a run whose longest row has `longest` tokens, `trained` (None: all) trained.

    Of several processes it is that of each.

    On a GPU it is what torch allocates, else the process. LoraTuiError: no layer is targeted.
    """
    run = _Run(preset, base, shape, platform)
    rows = preset.training.per_device_train_batch_size
    number = count_trainable(base, preset).parameters
    gradients = trainable = number * run.width
    kept, holes = run.kept(rows * longest)
    copies = run.copied * _elements(run.matrices)  # kept for the way back
    packed = _elements(run.matrices) if preset.model.load_in_4bit else 0
    logits = run.logits(rows * (longest if trained is None else trained))
    if run.full and shape.tied:  # the head's and the embedding's, before they are added up
        gradients += shape.vocabulary * shape.hidden * run.width
    if run.full and preset.training.gradient_accumulation_steps == 1:
        # They come as activations go, of which a heap gives back no more than the holes.
        gradients = max(0, gradients - logits - (kept + copies if platform.on_gpu else holes))
    if preset.engine.processes > 1:  # once more, in the buckets they travel in (torch's DDP)
        gradients += number * run.width
    return Memory(
        program=_WORKSPACES if platform.on_gpu else _PROGRAM + run.kernels(longest),
        weights=round(packed * _NF4) + (base.parameters - packed) * run.stored + copies,
        adapter=0 if run.full else trainable + (number * run.computed if run.computed < 4 else 0),
        gradients=gradients,
        optimiser=run.optimiser(number),
        activations=kept + holes,
        logits=logits,
    )


class _Run:
    """What the parts are counted from."""

    def __init__(self, preset: Preset, base: Base, shape: Shape, platform: Platform) -> None:
        self.training, self.lora = preset.training, preset.lora
        self.base, self.shape, self.on_gpu = base, shape, platform.on_gpu
        self.loss = platform.backend if platform.on_gpu else "cpu"
        self.full = preset.lora.method == "full"
        self.stored = _WIDTH[weights_dtype(preset, platform)]
        self.computed = _WIDTH[compute_dtype(preset, platform)]
        self.width = self.stored if self.full else 4  # engine.trainer keeps adapters in float32
        self.copied = self.computed if self.computed != self.stored else 0  # by autocast
        self.flat = preset.training.padding_free and not platform.on_gpu
        self.fused = self.loss == "unsloth"  # its kernels keep less (unsloth.kernels)
        self.again = shape.silu and not platform.on_gpu  # less is kept (engine.fused_mlp, again)
        self.shares = not (self.full or self.on_gpu or self.copied or self.lora.use_dora)
        """Whether adapters are engine.fused_lora's, which keep what they share once."""
        self.adapted = [] if self.full else targeted(base.layers, preset.lora)
        self.matrices = targeted(base.layers, replace(preset.lora, target_modules="all-linear"))

    def optimiser(self, trainable: int) -> int:
        """Two moments a weight; Adafactor a row and a column a matrix (transformers); SGD none."""
        name, extra = self.training.optim, 0 if self.full else 2 * self.lora.r
        if name == "adafactor":
            return 4 * sum(at.outputs + at.inputs + extra for at in self.adapted or self.matrices)
        width = 0 if name == "sgd" else _ADAM_8BIT if "8bit" in name else 2 * self.width
        return round(trainable * width)

    def kernels(self, longest: int) -> int:
        """The products that oneDNN keeps: for each length those of all shapes of matrices.

        Without padding these are the lengths of batches, rounded up; attention has three for each
        length of a row, and the loss some for each number of tokens in the last of its parts.
        """
        sizes = {(layer.outputs, layer.inputs) for layer in self.matrices}
        inner = {at.inputs for at in self.adapted}, {at.outputs for at in self.adapted}
        rows, vocabulary = self.training.per_device_train_batch_size, self.shape.vocabulary
        batches = self.training.max_steps * self.training.gradient_accumulation_steps

        def met(kinds: int, at_once: int = 1) -> int:
            return min(kinds, batches * at_once) if batches > 0 else kinds

        ways = 3 if self.full else 2  # there, back to the inputs, and to weights that are trained
        each = ways * len(sizes) + 3 * sum(map(len, inner))
        products = each * met(_steps(rows * longest) if self.flat else longest)
        products += 3 * met(_steps(longest), rows) if self.flat else 0
        products += ways * met(_LOGITS["cpu"][0] // vocabulary)
        return _KERNEL * min(_KERNELS, products) if self.computed == 2 else 0

    def kept(self, tokens: int) -> tuple[int, int]:
        """What autograd keeps of all layers, and the holes in it."""
        layers, block = self.shape.layers, tokens * self.kept_a_token()
        if self.lora.use_dora and self.lora.lora_dropout:  # matrices copied (peft.tuners.lora.dora)
            block += self.computed * _elements(self.adapted) // layers
        freed = tokens * self.computed_again() // layers
        holes = 0 if self.on_gpu else round(_HOLES * layers * (block + freed))
        if self.training.gradient_checkpointing:  # their inputs, and one layer computed again
            return tokens * layers * self.shape.hidden * self.stored + block, holes // 2
        return layers * block, holes

    def kept_a_token(self) -> int:
        """Bytes a token that autograd keeps of one layer."""
        shape, computed = self.shape, self.computed
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        if self.training.per_device_train_batch_size > 1 and not self.flat:
            keys = queries  # beside a padding mask each head gets a copy (transformers' sdpa)
        kept = computed * (2 * queries + 2 * keys) + 4 * shape.heads  # q, out, k, v, and sums
        if self.fused:  # what the norms take in, and the fused adapters
            kept += computed * 2 * shape.hidden * (1 if self.full else 2)
        else:  # their own arithmetic in float32, or engine.fused_norm's
            kept += 2 * shape.hidden * (4 if self.on_gpu or self.full else self.stored)
        gates = 2 if self.fused or self.again else 3 if shape.gated else 1
        kept += computed * shape.intermediate * gates
        if self.full:
            # What each matrix takes in: q, k, v share it, and gate, up, unless it is cast.
            inputs = 2 if not self.copied else 5 if shape.gated else 4
            kept += 2 * shape.hidden * self.stored  # what the norms give out
            kept += computed * (inputs * shape.hidden + shape.intermediate)
        return kept + self.kept_of_adapters(queries) // shape.layers

    def kept_of_adapters(self, queries: int) -> int:
        """What adapters take in, which of it was dropped, and what is between A and B; a token."""
        lora, computed = self.lora, self.computed
        dropped = 0 if not lora.lora_dropout else 1 if self.on_gpu or self.shares else 4
        taken = self.taken_in(queries) if self.shares else sum(at.inputs for at in self.adapted)
        if self.fused or (self.shares and self.again):
            taken = 0
        given = sum(2 * at.outputs for at in self.adapted if lora.use_dora)
        kept = computed * (taken + given + lora.r * len(self.adapted))
        return kept + dropped * sum(at.inputs for at in self.adapted)

    def taken_in(self, queries: int) -> int:
        """Widths of what adapters share: siblings' input; attention's output is kept anyway."""
        inputs = {(at.name.rpartition(".")[0], at.inputs) for at in self.adapted}
        return sum(size for _, size in inputs if size != queries or size == self.shape.hidden)

    def computed_again(self) -> int:
        """Bytes a token that adapters let go and ask for again, of all layers."""
        if not (self.again and self.shares):
            return 0
        queries = self.shape.heads * self.shape.head_dim
        gates = self.shape.layers * self.shape.intermediate
        return self.computed * (gates + self.taken_in(queries))

    def logits(self, scored: int) -> int:
        """The scores of `scored` tokens, a chunk at a time, and the head as it is multiplied."""
        (chunk, width), vocabulary = _LOGITS[self.loss], self.shape.vocabulary
        # The head's gradient, and what is added to it.
        early = 4 + self.computed if self.full and not self.on_gpu else 0
        head = vocabulary * self.shape.hidden * (self.copied + early)
        return min(scored * vocabulary, chunk) * width + head


def _steps(tokens: int) -> int:
    return -(-tokens // _GRID)


def _elements(layers: list[Layer]) -> int:
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
        run = replace(preset, training=training)
        return estimate(run, base, shape, platform, longest=longest, trained=trained).total > free

    return bisect_left(range(1, MOST_ROWS + 1), x=True, key=too_much) or None
