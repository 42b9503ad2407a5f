"""A branch: a run that begins at a checkpoint of another one, with some settings changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from lora_tui.core import events, presets, runs
from lora_tui.core.consequences import planned_steps
from lora_tui.core.errors import BadInput
from lora_tui.core.events import whole
from lora_tui.core.preset_files import changed, load, with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.core.schedule import Schedule, explain
from lora_tui.core.settings import Problem, SettingsError

CHANGEABLE = frozenset(
    {
        "name",
        "description",
        "lora.save_dtype",
        *(
            f"training.{name}"
            for name in (
                "max_steps",
                "num_train_epochs",
                "learning_rate",
                "lr_scheduler_type",
                "warmup_steps",
                "weight_decay",
                "logging_steps",
                "eval_steps",
                "save_steps",
                "early_stopping_patience",
                "stop_on_divergence",
            )
        ),
    }
)
"""What a branch may set anew: all else is in its checkpoint already."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a branch comes from, as its `run.json` says."""

    of: str
    step: int
    planned: tuple[int, ...]
    """`training.max_steps` of each ancestor, the first one first: which rows each of them took."""

    def ancestors(self, preset: Preset) -> tuple[Preset, ...]:
        """The presets of those ancestors, as far as rows depend on them."""
        return tuple(
            replace(preset, training=replace(preset.training, max_steps=steps))
            for steps in self.planned
        )


def origin(run: Run) -> Origin | None:
    """Where a run comes from; None for one that began at its own beginning."""
    options = runs.read_info(run).get("options")
    if not isinstance(options, dict) or "branch_of" not in options:
        return None
    step, planned = whole(options.get("branch_from")), options.get("branch_planned")
    assert step is not None and isinstance(planned, list), f"{run.info} was not written by us"
    return Origin(str(options["branch_of"]), step, tuple(planned))


def line(run: Run) -> list[tuple[Run, int | None]]:
    """A run and those it branched from, the first one first, each with the step of its branch."""
    found: list[tuple[Run, int | None]] = [(run, None)]
    while begun := origin(found[0][0]):
        found.insert(0, (Run(run.path.with_name(begun.of)), begun.step))
    return found


@dataclass(frozen=True, slots=True)
class Plan:
    """A branch before it is made: from which step of which run, and with which preset."""

    run: Run
    step: int
    before: Preset
    preset: Preset
    steps: int | None
    """How many steps it is to reach; None where the rows decide and were never counted."""

    def told(self) -> list[str]:
        """What will happen, a sentence each."""
        lines = [f"Branches from step {self.step:,} of {self.run.id}, which stays as it is."]
        was = _planned(self.run, self.before)
        if self.steps is None or was is None:
            return [*lines, "How far it goes is known once its rows are counted."]
        if self.steps != was:
            lines.append(f"It ends at step {self.steps:,} instead of {was:,}.")
        if self.steps > was and self.before.training.max_steps > 0:
            lines.append(
                f"From step {was + 1:,} on it takes rows that were not used yet, where there are "
                "any left; then it goes through all of them again."
            )
        of = Schedule.of
        return [
            *lines,
            *explain(
                of(self.before.training, was), of(self.preset.training, self.steps), self.step
            ),
        ]

    def options(self) -> dict[str, Any]:
        """What the branch's `run.json` has to say of it."""
        before = origin(self.run)
        planned = (*(before.planned if before else ()), self.before.training.max_steps)
        return {
            "branch_of": self.run.id,
            "branch_from": self.step,
            "branch_planned": list(planned),
        }


def plan(run: Run, step: int | None, changes: Mapping[str, Any]) -> Plan:
    """A branch of `run` from one of its checkpoints, the last one where `step` is None.

    Raises:
        SettingsError: changes that a branch cannot make, or that do not fit; all of them.
        BadInput: there is no such checkpoint, or nothing would be left to do.
    """
    steps = runs.checkpoint_steps(run)
    if not steps:
        raise BadInput(
            f"{run.id} has no complete checkpoint to branch from.",
            "Train it anew; training.save_steps saves one every so many steps.",
        )
    at = steps[-1] if step is None else step
    if at not in steps:
        kept = ", ".join(f"{one:,}" for one in steps)
        raise BadInput(
            f"{run.id} has no complete checkpoint of step {at:,}.", f"There are those of {kept}."
        )
    before = load(run.preset)
    preset = changed(before, dict(changes))
    _refuse(before, preset)
    reached = _planned(run, preset)
    if reached is not None and reached <= at:
        raise BadInput(
            f"A branch from step {at:,} that ends at step {reached:,} has nothing to do.",
            f"Set training.max_steps above {at}, or branch from an earlier checkpoint.",
        )
    return Plan(run, at, before, preset, reached)


def changes(run: Run, assignments: Iterable[str]) -> dict[str, Any]:
    """What `TABLE.KEY=VALUE` assignments change of a run's preset.

    Raises:
        SettingsError: all that is wrong with them.
    """
    before = load(run.preset)
    return differing(before, with_settings(before, assignments))


def differing(before: Preset, after: Preset) -> dict[str, Any]:
    """The keys whose values are not the same, with the new ones."""
    was, now = _flat(before), _flat(after)
    return {key: value for key, value in now.items() if value != was[key]}


def _flat(preset: Preset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in presets.to_document(preset).items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            found[key] = value
    return found


def _refuse(before: Preset, after: Preset) -> None:
    different = differing(before, after)
    problems = [Problem(key, _reason(key)) for key in different if key not in CHANGEABLE]
    if "training.num_train_epochs" in different and after.training.max_steps > 0:
        problems.append(
            Problem(
                "training.num_train_epochs",
                f"training.max_steps = {after.training.max_steps} decides; set it to -1",
            )
        )
    if problems:
        raise SettingsError("A branch cannot change these settings", problems)


def _reason(key: str) -> str:
    table, _, name = key.partition(".")
    return _OF_TABLES.get(table) or _OF_TRAINING.get(name) or _ORDER


_ORDER = "the checkpoint counts rows by it, and would go on with other ones"

_OF_TRAINING = {
    "optim": "the optimiser's state in the checkpoint is of another kind",
    "gradient_checkpointing": "the steps would no longer be computed as those before",
}

_OF_TABLES = {
    "schema": "it is the form of the file",
    "model": "the checkpoint is of that model, loaded that way",
    "lora": "the checkpoint's weights have that shape and that scale",
    "data": "the checkpoint has seen a part of those rows, and others were held out",
    "engine": "another backend or number of processes computes other numbers",
}


def _planned(run: Run, preset: Preset) -> int | None:
    """How many steps `preset` takes on the rows of `run`."""
    if preset.training.max_steps > 0:
        return preset.training.max_steps
    if load(run.preset).training.max_steps > 0:
        return None  # it counted only the rows it needed
    told = (event for event in events.read_ends(run.events)[0] if event["kind"] == "data")
    rows = whole(next(told, {}).get("train_rows"))
    return planned_steps(preset, rows) if rows else None
