"""Where a run can compute, and what of a preset it cannot honour there: said without torch."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.presets import Preset

CHANGES_BASE = frozenset({"pissa", "olora"})
"""Ways to start an adapter that take the adapter's part out of the base."""

_GPU_OPTIMISERS = frozenset({"adamw_8bit", "paged_adamw_8bit"})


@dataclass(frozen=True, slots=True)
class Platform:
    """What computes: the backend, the device, and the number format of its arithmetic."""

    backend: str
    device: str
    bfloat16: bool

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.device == "cuda"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run would compute; `free` is the bytes of its memory that are free, where known."""

    platform: Platform
    free: int | None = None


def visible_gpus(device: str, visible: str | None, number: int = 0) -> str:
    """CUDA_VISIBLE_DEVICES for a process that computes on `device`: one GPU, or "" for none.

    `visible` is the variable as it stands, None where it is not set; `number` says which of the
    processes that share a run it is.
    """
    names = [name for name in (visible or "").split(",") if name.strip()]
    if device == "cpu" or visible == "":
        return ""
    index = int(device.partition(":")[2] or 0) + number
    if names:
        return names[index] if index < len(names) else ""
    return str(index)


def no_gpu(device: str) -> LoraTuiError:
    """What is wrong when a GPU is asked for and there is none."""
    return BadInput(
        f'engine.device is "{device}", and torch sees no such GPU here.',
        "Check `nvidia-smi` and that torch is a CUDA build (`lora-tui doctor`), "
        'or set engine.device = "auto" or "cpu".',
    )


def choose_backend(preset: Preset) -> str:
    """The preset's backend; `auto` is Unsloth where it is installed and one process computes.

    Raises:
        LoraTuiError: Unsloth is asked for and not installed.
    """
    asked = preset.engine.backend
    installed = is_installed("unsloth")
    if asked == "unsloth" and not installed:
        raise LoraTuiError(
            'engine.backend is "unsloth", and Unsloth is not installed.',
            'Install it with `make setup`, or set engine.backend = "auto" or "transformers".',
        )
    if asked != "auto":
        return asked
    return "unsloth" if installed and preset.engine.processes == 1 else "transformers"


def refusals(preset: Preset, platform: Platform) -> list[str]:
    """What of `preset` the platform would ignore or get wrong, each with its key and a way out.

    Libraries replace most of these silently (16 bits for 4, another optimiser, bfloat16 for
    float16): the run would not be what the preset says.
    """
    model, lora, training = preset.model, preset.lora, preset.training
    found = []
    if preset.engine.processes > 1:
        found += _refusals_of_several(preset, platform)
    if lora.method == "full" and model.dtype == "float16":
        found.append('model.dtype: weights in "float16" cannot be trained whole; use "auto"')
    if not platform.on_gpu:
        found += _refusals_on_cpu(preset, platform)
    elif not is_installed("bitsandbytes"):
        if model.load_in_4bit:
            found.append("model.load_in_4bit: needs bitsandbytes (pip install bitsandbytes)")
        if training.optim in _GPU_OPTIMISERS:
            found.append(
                f'training.optim: "{training.optim}" needs bitsandbytes (pip install bitsandbytes)'
            )
    if lora.method == "lora":
        found += _refusals_of_lora(preset)
    return found


def _refusals_of_several(preset: Preset, platform: Platform) -> list[str]:
    found = []
    if platform.backend == "unsloth":
        found.append('engine.backend: "unsloth" is for one process; use "auto" or "transformers"')
    if ":" in preset.engine.device:
        found.append(
            f'engine.device: "{preset.engine.device}" is one GPU for {preset.engine.processes} '
            'processes; use "auto" or "cuda"'
        )
    return found


def _refusals_on_cpu(preset: Preset, platform: Platform) -> list[str]:
    model, training = preset.model, preset.training
    found = []
    if model.load_in_4bit:
        found.append("model.load_in_4bit: needs an NVIDIA GPU; set it to false")
    if model.dtype == "float16":
        found.append('model.dtype: "float16" needs a GPU; use "auto", "bfloat16" or "float32"')
    if training.optim in _GPU_OPTIMISERS:
        found.append(
            f'training.optim: "{training.optim}" needs an NVIDIA GPU; use "adamw_torch_fused"'
        )
    if platform.backend == "unsloth" and model.name_or_path.lower().endswith("-bnb-4bit"):
        found.append("model.name_or_path: is quantised for a GPU; name the 16-bit model")
    return found


def _refusals_of_lora(preset: Preset) -> list[str]:
    lora = preset.lora
    found = []
    if lora.init_lora_weights in CHANGES_BASE:
        if preset.model.load_in_4bit:
            found.append(
                f'lora.init_lora_weights: "{lora.init_lora_weights}" needs a base in 16 or 32 bits'
            )
        if lora.use_dora:
            found.append(f'lora.use_dora: does not go together with "{lora.init_lora_weights}"')
        if lora.bias != "none":  # PEFT's conversion into plain LoRA leaves them out
            found.append(f'lora.bias: is not saved with "{lora.init_lora_weights}"; use "none"')
        if lora.save_dtype not in {"auto", "float32"}:
            found.append(
                f'lora.save_dtype: "{lora.init_lora_weights}" is saved in float32; use "auto"'
            )
    if lora.init_lora_weights == "orthogonal" and lora.r % 2:
        found.append('lora.r: has to be even with lora.init_lora_weights = "orthogonal"')
    if isinstance(lora.target_modules, tuple):
        heads = {"lm_head", "embed_tokens"} & set(lora.target_modules)
        found += [
            f"lora.target_modules: {name} cannot be trained through TRL; leave it out"
            for name in sorted(heads)
        ]
    return found


def is_installed(module: str) -> bool:
    """Whether `module` can be imported, without importing it."""
    return find_spec(module) is not None


def cpu_has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 in hardware; without, it is slower than float32."""
    return bool({"amx_bf16", "avx512_bf16", "bf16"} & cpu_flags())


def cpu_flags() -> set[str]:
    """What the processor can do, in Linux's words; nothing where nobody says."""
    try:
        lines = Path("/proc/cpuinfo").read_text("ascii", "replace").splitlines()
    except OSError:
        return set()
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return set(flags.split())


def weights_dtype(preset: Preset, platform: Platform) -> str:
    """The number format that the base's weights are kept in while training.

    Weights that are trained, or that PiSSA and OLoRA take a part out of, stay in float32 (computing
    is in bfloat16 all the same): in bfloat16 small steps are rounded away.
    """
    if preset.model.dtype != "auto":
        return preset.model.dtype
    exact = preset.lora.method == "full" or preset.lora.init_lora_weights in CHANGES_BASE
    if exact or (not platform.bfloat16 and not platform.on_gpu):
        return "float32"
    return "bfloat16" if platform.bfloat16 else "float16"


def compute_dtype(preset: Preset, platform: Platform) -> str:
    """The number format of the arithmetic: bfloat16, float16 or float32."""
    if preset.model.dtype != "auto":
        return preset.model.dtype
    if platform.bfloat16:
        return "bfloat16"
    return "float16" if platform.on_gpu else "float32"


def saved_dtype(preset: Preset, platform: Platform) -> str:
    """The number format of a saved adapter's two factors.

    That of the arithmetic, which rounds them in the same way each time it takes them. With PiSSA
    and OLoRA the adapter as it began is saved too, to be taken off in full: nothing rounds that.
    """
    if preset.lora.save_dtype != "auto":
        return preset.lora.save_dtype
    exact = preset.lora.init_lora_weights in CHANGES_BASE
    return "float32" if exact else compute_dtype(preset, platform)
