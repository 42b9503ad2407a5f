"""What is wrong with a preset's document: keys, types, ranges, and what does not go together."""

from collections.abc import Mapping
from typing import Any

from lora_tui.core.presets import SCHEMA, TABLES, Preset, from_document, is_demo
from lora_tui.core.settings import Problem, knobs_of, problems_in, unknown


def check(document: Mapping[str, Any]) -> list[Problem]:
    """Everything wrong with a preset's document: keys, types, ranges, combinations."""
    schema = document.get("schema", SCHEMA)
    if isinstance(schema, int) and schema > SCHEMA:
        return [
            Problem(
                "schema", f"{schema} is newer than this program reads ({SCHEMA}); upgrade lora-tui"
            )
        ]
    top = {name: value for name, value in document.items() if name not in TABLES}
    known = [*(item.name for item in knobs_of(Preset, "")), *TABLES]
    found = [
        Problem(name, unknown(name, dict.fromkeys(known))) for name in top if name not in known
    ] + problems_in(Preset, {name: value for name, value in top.items() if name in known}, "")
    for table, section in TABLES.items():
        values = document.get(table, {})
        if isinstance(values, Mapping):
            found += problems_in(section, values, table)
        else:
            found.append(Problem(table, "is a table: write [" + table + "] and its keys below"))
    return found or _conflicts(from_document(document))


def _conflicts(preset: Preset) -> list[Problem]:
    """What is wrong between fields that are each right."""
    found = []
    lora, training, model, data = preset.lora, preset.training, preset.model, preset.data
    if lora.method == "full" and model.load_in_4bit:
        found.append(
            Problem(
                "model.load_in_4bit", 'a 4-bit base cannot be trained whole; use method = "lora"'
            )
        )
    names = [("model.name_or_path", model.name_or_path)]
    names += [("data.source", name) for name in data.sources or ("",)]
    found += [Problem(key, "is empty") for key, value in names if not value.strip()]
    if data.weights and len(data.weights) != len(data.sources):
        message = f"{len(data.weights)} weights for {len(data.sources)} sources: give one for each"
        found.append(Problem("data.weights", message))
    if training.max_steps == 0:
        found.append(
            Problem("training.max_steps", "0 trains nothing; give a number of steps, or -1")
        )
    if training.early_stopping_patience and not training.eval_steps:
        found.append(
            Problem(
                "training.early_stopping_patience",
                "needs training.eval_steps: nothing is measured otherwise",
            )
        )
    if (
        training.early_stopping_patience
        and not data.eval_fraction
        and not all(map(is_demo, data.sources))
    ):
        found.append(
            Problem(
                "training.early_stopping_patience", "needs held-out rows: data.eval_fraction is 0"
            )
        )
    if isinstance(lora.target_modules, tuple) and "all-linear" in lora.target_modules:
        found.append(Problem("lora.target_modules", '"all-linear" stands alone, not in a list'))
    if not lora.target_modules:
        found.append(
            Problem("lora.target_modules", 'names no layer; write a list of names, or "all-linear"')
        )
    found += _column_problems(data.columns)
    if not (preset.engine.device in {"auto", "cpu", "cuda"} or _is_gpu(preset.engine.device)):
        found.append(
            Problem("engine.device", f'"{preset.engine.device}" is not auto, cpu, cuda or cuda:N')
        )
    return found


ROLES = ("messages", "prompt", "completion", "context", "system", "text")
"""What a column can be to the trainer."""


def _column_problems(columns: tuple[str, ...]) -> list[Problem]:
    roles = [entry.partition("=") for entry in columns]
    return [
        Problem(
            "data.columns",
            f'"{role}{sign}{name}": write ROLE=COLUMN, ROLE one of {", ".join(ROLES)}',
        )
        for role, sign, name in roles
        if role not in ROLES or not sign or not name
    ]


def _is_gpu(device: str) -> bool:
    head, _, index = device.partition(":")
    return head == "cuda" and index.isdecimal()
