"""What follows from a draft: sizes, steps, memory and time. Runs in a worker: headers are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lora_tui.core.consequences import (
    Facts,
    memory_facts,
    size_facts,
    step_facts,
    time_facts,
)
from lora_tui.core.data_advice import Report
from lora_tui.core.draft import Draft
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.measured import Measured, lengths, speed, split
from lora_tui.core.named import lost
from lora_tui.core.parameters import count_trainable, read_base
from lora_tui.core.platforms import refusals
from lora_tui.core.presets import Preset, all_knobs, from_document
from lora_tui.jobs.machine import place_of


@dataclass(frozen=True, slots=True)
class Forecast:
    """Facts as (name, value) in groups; `apology` says what is missing, or cannot run here.

    `lost` are the paths that do not exist, by key: what stands in the field, and what to say of it.
    """

    sizes: Facts = field(default_factory=list)
    steps: Facts = field(default_factory=list)
    costs: Facts = field(default_factory=list)
    parts: Facts = field(default_factory=list)
    apology: str = ""
    lost: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def forecast(draft: Draft, found: list[Measured]) -> Forecast:
    """What follows from `draft` on this machine; `found` is what was measured before."""
    steps: Facts = []
    costs: Facts = []
    gone = _gone(draft)
    try:
        preset = draft.preset
        steps = step_facts(preset)
        costs = time_facts(preset, speed(found, preset), split(found, preset))
        sizes, memory, parts, refused = _of_model(preset, lengths(found, preset))
    except LoraTuiError as error:
        return Forecast(steps=steps, costs=costs, apology=error.summary, lost=gone)
    return Forecast(sizes, steps, [*memory, *costs], parts, refused, gone)


def _gone(draft: Draft) -> Mapping[str, tuple[str, str]]:
    """The paths that do not exist, also where something else is wrong with the draft."""
    texts = {item.key: draft.text(item) for item in all_knobs()}
    problems = lost(from_document(draft.document))
    return {one.key: (texts[one.key], one.message) for one in problems}


def _of_model(preset: Preset, rows: Report | None) -> tuple[Facts, Facts, Facts, str]:
    place = place_of(preset)
    refused = "; ".join(refusals(preset, place.platform))
    base = read_base(preset.model.name_or_path, preset.model.revision)
    sizes = size_facts(preset, count_trainable(base, preset, place.platform))
    try:
        memory, parts = memory_facts(preset, base, place, rows)
    except LoraTuiError as error:
        return sizes, [], [], refused or error.summary
    return sizes, memory, parts, f"Not here: {refused}" if refused else ""
