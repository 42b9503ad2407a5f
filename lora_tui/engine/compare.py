"""A comparison: every member measured on the same rows and asked the same, base by base."""

from pathlib import Path
from typing import Any

from lora_tui.core import comparison, comparison_files, preset_files, runs, summary
from lora_tui.core.members import Member, grouped, settings_of
from lora_tui.core.runs import Run
from lora_tui.engine import job
from lora_tui.engine.job import Job, with_torch


def main(folder: Path) -> int:
    """Compare what `run.json` in `folder` names; the events say what is found."""
    return job.execute(folder, work)


def work(begun: Job) -> None:
    """Measure group after group; what is broken is refused by name, and the rest goes on."""
    options = runs.read_info(begun.run)["options"]
    members = [Member.from_document(one) for one in options["members"]]
    settings, groups = options["settings"], grouped(members)
    known = [_known(member) for group in groups for member in group]
    begun.emit("members", members=known, settings=settings)
    if len(groups) > 1:
        begun.warn(
            f"{len(groups)} bases are compared: losses and distances of one base say nothing of "
            "those of another."
        )
    current = with_torch(begun)
    from lora_tui.engine.measuring import Measuring

    folders = [member.run for member in members if member.run]
    own = {folder: preset_files.load(Run(Path(folder)).preset) for folder in folders}
    candidates = [begun.preset, *own.values()] if options["has_rows"] else []
    measuring = Measuring(current, settings, candidates, own)
    for group in groups:
        measuring.measure(group)
    comparison_files.write(comparison.read(begun.run), begun.run.path)
    begun.end("finished")


def _known(member: Member) -> dict[str, Any]:
    """What the files say of a member before anything is loaded."""
    shown = summary.show(Run(Path(member.run))) if member.run else {}
    preset = shown.pop("preset", None) or settings_of(member)
    return {"member": member.document(), "show": shown, "preset": preset}
