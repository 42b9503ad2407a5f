"""Which backend computes the run, and what it cannot honour: said before anything is spent."""

from dataclasses import dataclass
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.engine import machine

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


def choose_backend(preset: Preset) -> str:
    """The preset's backend; `auto` is Unsloth where it is installed.

    Raises:
        LoraTuiError: Unsloth is asked for and not installed.
    """
    asked = preset.engine.backend
    installed = machine.is_installed("unsloth")
    if asked == "unsloth" and not installed:
        raise LoraTuiError(
            'engine.backend is "unsloth", and Unsloth is not installed.',
            'Install it with `make setup`, or set engine.backend = "auto" or "transformers".',
        )
    return ("unsloth" if installed else "transformers") if asked == "auto" else asked


def choose_platform(preset: Preset, torch: Any) -> Platform:
    """The backend and the device for `preset`, once torch is imported.

    Raises:
        LoraTuiError: something is asked for that is not there or does not work together.
    """
    device = "cuda" if preset.engine.device != "cpu" and torch.cuda.is_available() else "cpu"
    if preset.engine.device.startswith("cuda") and device == "cpu":
        raise LoraTuiError(
            f'engine.device is "{preset.engine.device}", and torch sees no such GPU here.',
            "Check `nvidia-smi` and that torch is a CUDA build (`lora-tui doctor`), "
            'or set engine.device = "auto" or "cpu".',
        )
    chosen = Platform(choose_backend(preset), device, machine.has_bfloat16(torch, device))
    if problems := refusals(preset, chosen):
        raise LoraTuiError(
            "This preset cannot run here as it is written:\n"
            + "\n".join(f"  {line}" for line in problems),
            "Change these keys; nothing was started.",
        )
    return chosen


def refusals(preset: Preset, platform: Platform) -> list[str]:
    """What of `preset` the platform would ignore or get wrong, each with its key and a way out.

    Libraries replace most of these silently (16 bits for 4, another optimiser, bfloat16 for
    float16): the run would not be what the preset says.
    """
    model, lora, training = preset.model, preset.lora, preset.training
    found = []
    if preset.engine.processes > 1:
        found.append("engine.processes: only 1 is supported yet")
    if lora.method == "full" and model.dtype == "float16":
        found.append('model.dtype: weights in "float16" cannot be trained whole; use "auto"')
    if not platform.on_gpu:
        found += _refusals_on_cpu(preset, platform)
    elif not machine.is_installed("bitsandbytes"):
        if model.load_in_4bit:
            found.append("model.load_in_4bit: needs bitsandbytes (pip install bitsandbytes)")
        if training.optim in _GPU_OPTIMISERS:
            found.append(
                f'training.optim: "{training.optim}" needs bitsandbytes (pip install bitsandbytes)'
            )
    if lora.method == "lora":
        found += _refusals_of_lora(preset)
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
    if lora.init_lora_weights == "orthogonal" and lora.r % 2:
        found.append('lora.r: has to be even with lora.init_lora_weights = "orthogonal"')
    if isinstance(lora.target_modules, tuple):
        heads = {"lm_head", "embed_tokens"} & set(lora.target_modules)
        found += [
            f"lora.target_modules: {name} cannot be trained through TRL; leave it out"
            for name in sorted(heads)
        ]
    return found


def import_backend(platform: Platform) -> None:
    """Import the libraries in the order they need: Unsloth patches the others as they load."""
    if platform.backend == "unsloth":
        try:
            import unsloth  # noqa: F401
        except ImportError as error:
            raise LoraTuiError(
                f"Unsloth is installed but cannot be imported: {error}.",
                'Repair it with `make setup`, or set engine.backend = "transformers".',
            ) from error
    import transformers

    transformers.utils.logging.disable_progress_bar()
