"""What has to be set before torch, transformers or Unsloth is imported: they read it only then."""

import os
from pathlib import Path

from lora_tui.core import hub, locations
from lora_tui.core.files import private_folder
from lora_tui.core.hardware import usable_cores
from lora_tui.core.presets import Preset, is_demo


def prepare(preset: Preset) -> None:
    """Set the process's environment for `preset`; nothing heavy may be imported yet."""
    cache = private_folder(locations.home() / "cache")
    os.environ.update(
        UNSLOTH_COMPILE_LOCATION=str(cache / "unsloth"),  # else into the run directory
        UNSLOTH_DISABLE_STATISTICS="1",
        UNSLOTH_AUTO_INSTALL="0",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="true",  # nothing forks after tokenising
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
    )
    os.environ.setdefault("OMP_NUM_THREADS", str(usable_cores()))
    # Threads that spin while they wait make two engines on the same cores five times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    choose_device(preset.engine.device)
    if not needs_hub(preset) or not hub.answers():
        # A cached model must not wait on a dead network: ten seconds a file, several times each.
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")


def choose_device(device: str) -> None:
    """Let the libraries see exactly the device that the preset names: one GPU, or none.

    With several GPUs visible to one process, transformers would turn to DataParallel, which TRL
    refuses.
    """
    visible = [
        item for item in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if item.strip()
    ]
    if device == "cpu":
        os.environ.update(CUDA_VISIBLE_DEVICES="", UNSLOTH_FORCE_CPU="1")
        return
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        return
    index = int(device.partition(":")[2] or 0)
    if index < len(visible):
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[index]
    elif not visible:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(index)
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def needs_hub(preset: Preset) -> bool:
    """Whether the model or the data is neither built in nor a path on this machine."""
    names = (preset.model.name_or_path, *preset.data.sources)
    return not all(is_demo(name) or Path(name).expanduser().exists() for name in names)
