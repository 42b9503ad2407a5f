"""Presets: what a run is made of, as one frozen dataclass a TOML table.

Keys are PEFT's and TRL's own argument names. Unknown keys are errors, all problems are reported at
once, and a bad value is never replaced.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from lora_tui.core.settings import Knob, build, knob, knobs_of

SCHEMA = 1

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The seven linear layers of a Llama-shaped block."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """`[model]`: the base, and how it is loaded."""

    name_or_path: str = knob("demo", 'Hub id, local folder, or "demo" for the built-in model.')
    revision: str = knob("", "Branch, tag or commit on the Hub; empty takes the newest.")
    max_seq_length: int = knob(
        1024, "Longest row in tokens; longer rows are cut.", low=8, high=1_048_576
    )
    load_in_4bit: bool = knob(False, "Load the base in 4 bits (QLoRA). Needs an NVIDIA GPU.")
    dtype: str = knob(
        "auto",
        "Number format of the base; auto takes bfloat16 where the machine has it.",
        choices=("auto", "bfloat16", "float16", "float32"),
    )
    trust_remote_code: bool = knob(False, "Run Python code that comes with the model. Off is safe.")


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraSettings:
    """`[lora]`: the adapter, in PEFT's LoraConfig's words."""

    method: str = knob(
        "lora", "An adapter, or every weight of the model.", choices=("lora", "full")
    )
    r: int = knob(16, "Rank: the width of the adapter's matrices.", low=1, high=1024)
    lora_alpha: float = knob(16.0, "Scale: the update counts alpha / r times.", above=0)
    lora_dropout: float = knob(
        0.05, "Share of adapter inputs dropped in training.", low=0, high=0.9
    )
    target_modules: str | tuple[str, ...] = knob(
        PROJECTIONS,
        'Layers that get an adapter, or "all-linear" for every one but the head.',
        choices=("all-linear",),
    )
    bias: str = knob("none", "Which biases are trained too.", choices=("none", "all", "lora_only"))
    use_rslora: bool = knob(False, "Scale by alpha / sqrt(r): steadier at ranks of 64 and more.")
    use_dora: bool = knob(
        False, "Train magnitude and direction apart (DoRA): slower, at times better."
    )
    init_lora_weights: bool | str = knob(
        True,
        "How the adapter starts; true is PEFT's own and changes nothing at first.",
        choices=(True, "gaussian", "pissa", "olora", "orthogonal"),
    )
    save_dtype: str = knob(
        "auto",
        "Number format of the saved adapter; auto takes that of the arithmetic and loses nothing.",
        choices=("auto", "bfloat16", "float16", "float32"),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """`[data]`: what it learns from."""

    source: str | tuple[str, ...] = knob(
        "demo",
        "File, folder, Hub id (owner/name or owner/name:configuration), demo, demo-pirate; or a "
        "list of them.",
    )
    weights: tuple[float, ...] = knob(
        (),
        "With a list of sources: how often the rows of each count. 0.5 takes half of them.",
        above=0,
        high=100,
    )
    split: str = knob("train", "Split of a Hub data set, as in train or train[:5000].")
    format: str = knob(
        "auto",
        "Shape of a row; auto looks at the columns.",
        choices=("auto", "messages", "prompt_completion", "instruction", "question_answer", "text"),
    )
    columns: tuple[str, ...] = knob(
        (), "Which column is what, when auto fails: prompt=question, completion=answer."
    )
    eval_fraction: float = knob(
        0.05, "Share of rows held out to measure on; 0 measures nothing.", low=0, high=0.5
    )
    train_on: str = knob(
        "assistant",
        "Tokens that count: every answer, the last answer of each row, or all.",
        choices=("assistant", "last", "all"),
    )
    too_long: str = knob(
        "cut",
        "Rows above model.max_seq_length: cut, or left out whole.",
        choices=("cut", "drop"),
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The source, or each of them."""
        return (self.source,) if isinstance(self.source, str) else self.source


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """`[training]`: in TRL's SFTConfig's words."""

    per_device_train_batch_size: int = knob(
        2, "Rows computed at once on each device.", low=1, high=4096
    )
    gradient_accumulation_steps: int = knob(4, "Batches summed into one step.", low=1, high=65536)
    learning_rate: float = knob(2e-4, "Size of a step at its peak.", above=0, high=1)
    lr_scheduler_type: str = knob(
        "linear",
        "How the learning rate falls.",
        choices=("linear", "cosine", "constant", "constant_with_warmup"),
    )
    warmup_steps: int | float = knob(
        0, "Steps of rising learning rate; below 1 a share of all.", low=0
    )
    max_steps: int = knob(
        -1, "Steps in all; -1 lets num_train_epochs decide.", low=-1, high=100_000_000
    )
    num_train_epochs: float = knob(
        1.0, "Passes over the data when max_steps is -1.", above=0, high=10_000
    )
    weight_decay: float = knob(0.0, "Pull of the weights towards zero.", low=0, high=1)
    optim: str = knob(
        "adamw_torch_fused",
        "Optimiser; the 8-bit one saves memory on an NVIDIA GPU.",
        choices=(
            "adamw_torch_fused",
            "adamw_torch",
            "adamw_8bit",
            "paged_adamw_8bit",
            "adafactor",
            "sgd",
        ),
    )
    seed: int = knob(3407, "Seed of everything random.", low=0, high=4_294_967_295)
    train_sampling_strategy: str = knob(
        "random",
        "Order of the rows; group_by_length puts those of like length together: less padding.",
        choices=("random", "group_by_length"),
    )
    padding_free: bool = knob(
        True,
        "Rows lie one behind the other, without padding, where model and device allow it.",
    )
    logging_steps: int = knob(1, "Steps between two points of the chart.", low=1)
    eval_steps: int = knob(0, "Steps between held-out measurements; 0 only at both ends.", low=0)
    save_steps: int = knob(0, "Steps between checkpoints; 0 only at the end or a stop.", low=0)
    gradient_checkpointing: bool = knob(
        False, "Recompute instead of keeping: less memory, a third slower."
    )
    early_stopping_patience: int = knob(
        0, "Held-out measurements without improvement before it stops; 0 never.", low=0
    )
    stop_on_divergence: bool = knob(True, "Stop on NaN or an exploding loss: hours are saved.")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """`[engine]`: what computes it."""

    backend: str = knob(
        "auto",
        "Unsloth where it is installed, else transformers.",
        choices=("auto", "unsloth", "transformers"),
    )
    device: str = knob("auto", "auto, cpu, cuda, or one GPU as in cuda:1.")
    processes: int = knob(1, "GPUs that share one run, as by torchrun.", low=1, high=1024)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """One whole preset; a run's `preset.toml` is exactly this, every default written out."""

    schema: int = knob(SCHEMA, "Version of this file's form.", low=1)
    name: str = knob("", "What the preset is called.")
    description: str = knob("", "When to pick it.")
    model: ModelSettings = field(default_factory=ModelSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    data: DataSettings = field(default_factory=DataSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)


TABLES: dict[str, type] = {
    "model": ModelSettings,
    "lora": LoraSettings,
    "data": DataSettings,
    "training": TrainingSettings,
    "engine": EngineSettings,
}


def all_knobs() -> Iterator[Knob]:
    """Every setting of every table, in the order of the file."""
    for table, section in TABLES.items():
        yield from knobs_of(section, table)


def from_document(document: Mapping[str, Any]) -> Preset:
    """The preset a checked document describes; call `preset_check.check` first."""
    sections = {table: build(section, document.get(table, {})) for table, section in TABLES.items()}
    top = {item.name: document[item.name] for item in knobs_of(Preset, "") if item.name in document}
    return Preset(**top, **sections)


def to_document(preset: Preset) -> dict[str, Any]:
    """The preset as TOML tables, every default written out."""
    document: dict[str, Any] = {
        item.name: getattr(preset, item.name) for item in knobs_of(Preset, "")
    }
    for table in TABLES:
        section = getattr(preset, table)
        document[table] = {
            item.name: _plain(getattr(section, item.name)) for item in fields(section)
        }
    return document


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def is_demo(source: str) -> bool:
    """Whether a model or data source is one of the built-in ones."""
    return source in {"demo", "demo-pirate"}
