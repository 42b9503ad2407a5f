"""Starting a comparison: whose rows it measures on, and what it asks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member, base_changes, knows_rows, of_base, told_apart
from lora_tui.core.preset_files import changed, load
from lora_tui.core.presets import LoraSettings, Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import launch, machine

MOST_ROWS = 128
"""Held-out rows a comparison measures on: a loss to a few hundredths, in minutes on a CPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a comparison measures.

    Attributes:
        prompts: What is asked; empty for the first `number` held-out questions.
        number: How many of those.
        rows: The most held-out rows that the loss is measured on.
        max_new_tokens: How long an answer may be.
        temperature: 0 takes the likeliest token.
        top_p: Of the likeliest tokens, those that make up this share, where temperature is not 0.
        seed: Where chance begins, the same for everybody.
        preset: Whose held-out rows; None for the first run's.
    """

    prompts: tuple[str, ...] = ()
    number: int = 8
    rows: int = MOST_ROWS
    max_new_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    preset: Preset | None = None

    def document(self) -> dict[str, Any]:
        """As the engine is told, and as the comparison keeps it."""
        names = ("number", "rows", "max_new_tokens", "temperature", "top_p", "seed")
        return {name: getattr(self, name) for name in names} | {"prompts": list(self.prompts)}


def start(members: Sequence[Member], asked: Asked) -> Run:
    """Make a comparison's folder and launch its engine.

    Raises:
        LoraTuiError: nobody is to be compared, there is nothing to measure on, or the engine
            cannot be started.
    """
    if not members:
        raise BadInput("There is nothing to compare.", "Name a run, or an adapter's folder.")
    if twice := [one.id for at, one in enumerate(members) if one.id in _ids(members[:at])]:
        raise BadInput(f"{twice[0]} is named twice.", "Name each once.")
    members = told_apart(members)
    preset, has_rows = measuring_preset(members, asked.preset)
    options: Mapping[str, Any] = {
        "members": [member.document() for member in members],
        "settings": asked.document(),
        "has_rows": has_rows,
    }
    return launch.start(preset, name=_name(members), kind="compare", options=options)


def _ids(members: Sequence[Member]) -> set[str]:
    return {member.id for member in members}


def _name(members: Sequence[Member]) -> str:
    """The members' names, as far as a folder's name has room."""
    names = [Path(member.name).name for member in members]
    return "-".join(names) if len(names) < 4 else f"{names[0]}-and-{len(names) - 1}-more"


def measuring_preset(members: Sequence[Member], given: Preset | None) -> tuple[Preset, bool]:
    """The preset that a base is loaded by, and whether it has rows to measure on.

    That of the first run, or `given`; adapters made elsewhere have none, so they are only asked.
    What a machine may be unable to honour, and measuring does not need, is left out.

    Raises:
        LoraTuiError: the preset of a run, or the data that `given` names, cannot be read.
    """
    # First those whose rows are known: a merge of strangers has a preset, and nobody's rows.
    made = sorted((one for one in members if one.run), key=lambda one: not knows_rows(one))
    own = [load(Run(Path(one.run)).preset) for one in made]
    sources = [launch.located(given)] if given else own
    preset = replace(sources[0] if sources else Preset(), lora=LoraSettings())
    on_gpu = _is_on_gpu(preset)
    changes = {
        **base_changes(of_base(members[0]), own, on_gpu=on_gpu),
        "engine.backend": "transformers",
        "engine.processes": 1,
        "training.optim": "adamw_torch_fused",
        **({} if on_gpu else {"engine.device": "cpu", "model.dtype": "auto"}),
    }
    return changed(preset, changes), given is not None or any(map(knows_rows, members))


def _is_on_gpu(preset: Preset) -> bool:
    try:
        return machine.place_of(preset).platform.on_gpu
    except LoraTuiError:  # it names a GPU that this machine has not
        return False
