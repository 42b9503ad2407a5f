"""The model card: what was trained on what, how, and what came of it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lora_tui.core import locations, text
from lora_tui.core.platforms import compute_dtype, saved_dtype
from lora_tui.core.preset_files import dumps
from lora_tui.core.presets import is_demo
from lora_tui.engine import machine
from lora_tui.engine.job import TorchJob
from lora_tui.engine.models import Loaded


def model_card(
    job: TorchJob, loaded: Loaded, figures: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> str:
    """The README.md of an adapter, or of a fully trained model."""
    preset = job.preset
    what = f"LoRA adapter of {preset.model.name_or_path}"
    if preset.lora.method == "full":
        what = f"{preset.model.name_or_path}, fine-tuned"
    parts = [
        _metadata(job),
        f"# {what}\n\nTrained by lora-tui (run `{job.run.id}`) on {_quoted(preset.data.sources)}, "
        f"{job.progress['step']} of {job.progress['max_steps']} steps.",
        "## Results\n\n" + _results(job, loaded, figures, measured),
        "## Use\n\n" + _use(preset.lora.method, loaded.reference),
        f"## Configuration\n\n```toml\n{dumps(preset).strip()}\n```",
        "## Versions\n\n"
        + ", ".join(f"{name} {number}" for name, number in machine.versions().items()),
    ]
    return "\n\n".join(parts) + "\n"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _metadata(job: TorchJob) -> str:
    """The YAML block the Hub reads; JSON strings are YAML strings."""
    preset = job.preset
    lines = ["library_name: peft" if preset.lora.method == "lora" else "library_name: transformers"]
    lines.append("pipeline_tag: text-generation")
    if _is_hub_id(preset.model.name_or_path):
        lines.append(f"base_model: {json.dumps(preset.model.name_or_path)}")
    names = [source.partition(":")[0] for source in preset.data.sources]
    if on_hub := [name for name in names if _is_hub_id(name)]:
        lines += ["datasets:", *(f"- {json.dumps(name)}" for name in on_hub)]
    tags = [
        "lora-tui",
        "sft",
        "trl",
        *(["lora"] if preset.lora.method == "lora" else []),
        job.platform.backend,
    ]
    lines += ["tags:", *(f"- {tag}" for tag in dict.fromkeys(tags))]
    return "---\n" + "\n".join(lines) + "\n---"


def _is_hub_id(name: str) -> bool:
    return not is_demo(name) and locations.local_path(name) is None and locations.is_hub_id(name)


def _results(
    job: TorchJob, loaded: Loaded, figures: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
) -> str:
    rows = [
        ("trained parameters", f"{loaded.trainable_parameters:,} of {loaded.total_parameters:,}"),
        ("backend, device", f"{job.platform.backend}, {job.platform.device}"),
        *_format(job),
        ("seconds a step", text.number(figures.get("seconds_per_step"))),
        ("tokens a second", text.number(figures.get("tokens_per_second"))),
        ("peak memory", text.size(figures.get("peak_memory_bytes"))),
    ]
    for point in measured:
        scores = point.get("scores") or {}
        shown = "".join(
            f", {name.replace('_', ' ')} {text.share(value)}" for name, value in scores.items()
        )
        rows.append(
            (f"held-out loss at step {point['step']}", f"{text.number(point['loss'])}{shown}")
        )
    lines = ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    return "\n".join(lines)


def _format(job: TorchJob) -> list[tuple[str, str]]:
    """Of an adapter, the number formats that it was computed with and is saved in."""
    if job.preset.lora.method == "full":
        return []
    return [
        ("computed in", compute_dtype(job.preset, job.platform)),
        ("saved in", saved_dtype(job.preset, job.platform)),
    ]


def _use(method: str, reference: str) -> str:
    lines = ["from transformers import AutoModelForCausalLM, AutoTokenizer", ""]
    if method == "lora":
        lines.insert(0, "from peft import PeftModel")
        lines += [
            f"base = AutoModelForCausalLM.from_pretrained({json.dumps(reference)})",
            'model = PeftModel.from_pretrained(base, "PATH")',
        ]
    else:
        lines.append('model = AutoModelForCausalLM.from_pretrained("PATH")')
    lines.append('tokenizer = AutoTokenizer.from_pretrained("PATH")')
    return "\n".join(["```python", *lines, "```"])
