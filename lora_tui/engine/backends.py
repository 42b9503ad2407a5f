"""The backend and the device that compute a run, once torch is imported."""

from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform, choose_backend, no_gpu, refusals
from lora_tui.core.presets import Preset
from lora_tui.engine import machine


def choose_platform(preset: Preset, torch: Any) -> Platform:
    """The backend and the device for `preset`, once torch is imported.

    Raises:
        LoraTuiError: something is asked for that is not there or does not work together.
    """
    device = "cuda" if preset.engine.device != "cpu" and torch.cuda.is_available() else "cpu"
    if preset.engine.device.startswith("cuda") and device == "cpu":
        raise no_gpu(preset.engine.device)
    chosen = Platform(choose_backend(preset), device, machine.has_bfloat16(torch, device))
    if problems := refusals(preset, chosen):
        raise LoraTuiError(
            "This preset cannot run here as it is written:\n"
            + "\n".join(f"  {line}" for line in problems),
            "Change these keys; nothing was started.",
        )
    return chosen


def import_backend(platform: Platform) -> None:
    """Import the libraries in the order they need: Unsloth patches the others as they load."""
    if platform.backend == "unsloth":
        try:
            import unsloth  # noqa: F401 - for what it patches
        except ImportError as error:
            raise LoraTuiError(
                f"Unsloth is installed but cannot be imported: {error}.",
                'Repair it with `make setup`, or set engine.backend = "transformers".',
            ) from error
    import transformers

    transformers.utils.logging.disable_progress_bar()
