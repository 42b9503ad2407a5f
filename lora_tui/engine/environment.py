"""What has to be set before torch, transformers or Unsloth is imported: they read it only then."""

import os
from pathlib import Path

from lora_tui.core import hub, locations
from lora_tui.core.files import private_folder
from lora_tui.core.hardware import usable_cores
from lora_tui.core.platforms import visible_gpus
from lora_tui.core.presets import Preset, is_demo
from lora_tui.engine import ranks

_SPIN = 20_000
"""Rounds that a thread waits awake for the next piece of work: some tens of microseconds."""


def prepare(preset: Preset, *, is_alone: bool = False) -> None:
    """Set the process's environment for `preset`; nothing heavy may be imported yet.

    Who has a device, or computes while nobody has one, may wait awake.
    """
    cache = private_folder(locations.home() / "cache")
    os.environ.update(
        UNSLOTH_COMPILE_LOCATION=str(cache / "unsloth"),  # else into the run directory
        UNSLOTH_DISABLE_STATISTICS="1",
        UNSLOTH_AUTO_INSTALL="0",
        UNSLOTH_CPU_CHUNKED_CE="0",  # without a GPU the loss is that of engine/fused_head.py
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TOKENIZERS_PARALLELISM="true",  # nothing forks after tokenising
        TRANSFORMERS_NO_ADVISORY_WARNINGS="1",
        CUDA_DEVICE_ORDER="PCI_BUS_ID",  # cuda:1 is nvidia-smi's 1, not the second fastest
    )
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, usable_cores() // ranks.count())))
    # Falling asleep and waking costs a third of a small model's step; but two engines whose threads
    # wait awake on the same cores are five times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if is_alone:
        os.environ.setdefault("GOMP_SPINCOUNT", str(_SPIN))
    choose_device(preset.engine.device)
    if not needs_hub(preset) or not hub.answers():
        # A cached model must not wait on a dead network: ten seconds a file, several times each.
        os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")


def choose_device(device: str) -> None:
    """Let the libraries see exactly the device that the preset names: one GPU, or none.

    Of several processes each sees the next one.

    With several GPUs visible to one process, transformers would turn to DataParallel, which TRL
    refuses.
    """
    os.environ["CUDA_VISIBLE_DEVICES"] = visible_gpus(
        device, os.environ.get("CUDA_VISIBLE_DEVICES"), ranks.number()
    )
    if device == "cpu":
        os.environ["UNSLOTH_FORCE_CPU"] = "1"


def needs_hub(preset: Preset) -> bool:
    """Whether the model or the data is neither built in nor a path on this machine."""
    names = (preset.model.name_or_path, *preset.data.sources)
    return not all(is_demo(name) or Path(name).expanduser().exists() for name in names)
