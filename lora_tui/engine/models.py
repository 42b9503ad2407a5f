"""The base model by either backend, and what of it is trained."""

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from lora_tui.core import hardware, locations, parameters
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform, compute_dtype, weights_dtype
from lora_tui.core.presets import Preset, is_demo
from lora_tui.engine import failures


@dataclass(slots=True)
class Loaded:
    """A model ready to train, and what is known of it."""

    model: Any
    reference: str
    total_parameters: int
    trainable_parameters: int
    dtype: str
    original_dtype: Any
    revision: str | None


def reference_of(preset: Preset) -> str:
    """What the libraries call the base: a Hub id, or the absolute path of a local folder.

    Raises:
        LoraTuiError: it is a path, and no model is there.
    """
    name = preset.model.name_or_path
    folder = locations.assets_folder() / "demo-model" if is_demo(name) else Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise LoraTuiError(
                f"{folder} holds no model: config.json is missing.", "Correct model.name_or_path."
            )
        return str(folder.absolute())
    if is_demo(name) or not locations.is_hub_id(name):
        raise LoraTuiError(
            f"There is no model at {folder}.",
            "Correct model.name_or_path: a local folder, or a Hub id as owner/name.",
        )
    return name


def read_ahead(preset: Preset) -> None:
    """Let the weights come from the disk, if memory has room, while libraries are imported."""
    settings, room = preset.model, hardware.free_memory()
    folder = parameters.model_folder(settings.name_or_path, settings.revision)
    files = sorted(folder.glob("*.safetensors")) if folder else []

    def read() -> None:
        with suppress(OSError, AttributeError):  # gone meanwhile; not every system can
            for file in files:
                with file.open("rb") as weights:
                    os.posix_fadvise(weights.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)

    with suppress(OSError):
        if room and sum(file.stat().st_size for file in files) < room // 2:
            Thread(target=read, name="read-ahead", daemon=True).start()


def read_config(preset: Preset) -> Any:
    """The base's configuration, as transformers reads it."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(
        reference_of(preset),
        revision=preset.model.revision or None,
        trust_remote_code=preset.model.trust_remote_code,
    )


def load_tokenizer(preset: Preset) -> Any:
    """The base's tokenizer; both backends train on what this one makes of the rows."""
    from transformers import AutoTokenizer

    reference = reference_of(preset)
    if Path(reference).is_dir():
        _require_tokenizer(Path(reference))
    with failures.naming(preset.model.name_or_path):
        tokenizer = AutoTokenizer.from_pretrained(
            reference,
            revision=preset.model.revision or None,
            trust_remote_code=preset.model.trust_remote_code,
        )
    if not tokenizer.is_fast:
        raise LoraTuiError(
            f"The tokenizer of {preset.model.name_or_path} does not say where its tokens lie.",
            "Choose a model with a tokenizer.json: which tokens are trained is proven through it.",
        )
    return tokenizer


def _require_tokenizer(folder: Path) -> None:
    """Make sure that a folder's tokenizer is there and whole: the libraries say it in riddles.

    Raises:
        LoraTuiError: it is not.
    """
    remedy = "Copy the model's tokenizer files here again."
    if not any(folder.glob("tokenizer*")) and not (folder / "vocab.json").exists():
        raise LoraTuiError(f"{folder} holds no tokenizer.", remedy)
    for path in folder.glob("tokenizer*.json"):
        try:
            json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise LoraTuiError(f"{path} cannot be read: {error}.", remedy) from error


def load(preset: Preset, platform: Platform) -> Loaded:
    """The base with what is trained of it switched on: an adapter, or every weight."""
    import torch
    from transformers import set_seed

    reference = reference_of(preset)
    config = read_config(preset)
    dtype = getattr(torch, weights_dtype(preset, platform))
    loader = _load_by_unsloth if platform.backend == "unsloth" else _load_by_transformers
    base = loader(preset, platform, reference, dtype)
    total = base.num_parameters()
    set_seed(preset.training.seed)
    model = (
        base if preset.lora.method == "full" else _attach_adapter(base, preset, platform, reference)
    )
    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return Loaded(
        model=model,
        reference=reference,
        total_parameters=total,
        trainable_parameters=trainable,
        dtype="4-bit" if preset.model.load_in_4bit else str(dtype).removeprefix("torch."),
        original_dtype=config.dtype or dtype,
        revision=getattr(config, "_commit_hash", None),
    )


def load_base(preset: Preset, platform: Platform) -> Any:
    """The base to answer and be measured with, on its device.

    On a CPU in float32, so that figures are exact; on a GPU in the preset's arithmetic.

    Raises:
        LoraTuiError: it is not there, or its files are broken.
    """
    import torch

    dtype = getattr(torch, compute_dtype(preset, platform)) if platform.on_gpu else torch.float32
    with failures.naming(preset.model.name_or_path):
        base = _load_by_transformers(preset, platform, reference_of(preset), dtype)
    return base if preset.model.load_in_4bit else base.to(platform.device)


def load_stored(preset: Preset, platform: Platform) -> Any:
    """The base on the CPU in the number format of its files, which are mapped, not read.

    Raises:
        LoraTuiError: it is not there, or its files are broken.
    """
    with failures.naming(preset.model.name_or_path):
        return _load_by_transformers(preset, platform, reference_of(preset), "auto")


def _load_by_unsloth(preset: Preset, platform: Platform, reference: str, dtype: Any) -> Any:
    from unsloth import FastLanguageModel

    full = preset.lora.method == "full"
    exact = full and str(dtype) == "torch.float32"
    model, _ = FastLanguageModel.from_pretrained(
        reference,
        max_seq_length=preset.model.max_seq_length,
        dtype=dtype,
        load_in_4bit=preset.model.load_in_4bit,
        full_finetuning=full,
        use_gradient_checkpointing=_checkpointing(preset, platform),
        revision=preset.model.revision or None,
        trust_remote_code=preset.model.trust_remote_code,
        use_exact_model_name=True,  # else a pre-quantised copy under another name is fetched
        # Weights in float32, arithmetic in bfloat16; the CPU backend does so unasked.
        **({"float32_mixed_precision": True} if exact and platform.on_gpu else {}),
    )
    return model


def _checkpointing(preset: Preset, platform: Platform) -> str | bool:
    """Unsloth's own kind offloads to the host's memory, which makes sense on a GPU only."""
    if not preset.training.gradient_checkpointing:
        return False
    return "unsloth" if platform.on_gpu else True


def _load_by_transformers(preset: Preset, platform: Platform, reference: str, dtype: Any) -> Any:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    quantised = {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute_dtype(preset, platform),
        ),
        "device_map": {"": 0},
    }
    return AutoModelForCausalLM.from_pretrained(
        reference,
        dtype=dtype,
        revision=preset.model.revision or None,
        trust_remote_code=preset.model.trust_remote_code,
        **(quantised if preset.model.load_in_4bit else {}),
    )


def adapter_settings(preset: Preset) -> dict[str, Any]:
    """The preset's [lora] as PEFT's LoraConfig takes it."""
    lora = preset.lora
    targets = lora.target_modules
    alpha = int(lora.lora_alpha) if lora.lora_alpha == int(lora.lora_alpha) else lora.lora_alpha
    return {
        "r": lora.r,
        "lora_alpha": alpha,
        "lora_dropout": lora.lora_dropout,
        "target_modules": targets if isinstance(targets, str) else list(targets),
        "bias": lora.bias,
        "use_rslora": lora.use_rslora,
        "use_dora": lora.use_dora,
        "init_lora_weights": lora.init_lora_weights,
    }


def _attach_adapter(base: Any, preset: Preset, platform: Platform, reference: str) -> Any:
    settings = adapter_settings(preset)
    if platform.backend == "unsloth":
        from unsloth import FastLanguageModel

        model = FastLanguageModel.get_peft_model(
            base,
            **settings,
            use_gradient_checkpointing=_checkpointing(preset, platform),
            random_state=preset.training.seed,
        )
    else:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    config = model.peft_config["default"]
    config.base_model_name_or_path = reference
    config.revision = preset.model.revision or None
    return model
