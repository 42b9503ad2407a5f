"""Starting an export: what of it can be done here, and where its files go."""

import hashlib
from pathlib import Path

from lora_tui.core import export_check, locations
from lora_tui.core.errors import BadInput
from lora_tui.core.exporting import ExportPlan
from lora_tui.core.files import slug
from lora_tui.core.members import Member
from lora_tui.core.quantisation import NEEDED, QUANTS
from lora_tui.core.runs import Run
from lora_tui.jobs import launch
from lora_tui.jobs.exact import exact_preset


def start(plan: ExportPlan) -> Run:
    """Make an export's folder and launch its engine.

    Raises:
        LoraTuiError: this cannot be exported like that, or the engine cannot be started.
    """
    if found := export_check.refusals(plan):
        raise BadInput("This cannot be exported:\n" + "\n".join(f"  {line}" for line in found))
    preset, has_rows = exact_preset([plan.member])
    lacking = [one for one in plan.quants if one in QUANTS and QUANTS[one].matrix == NEEDED]
    if lacking and not has_rows:
        raise BadInput(
            f"{', '.join(lacking)}: these types need an importance matrix, which is computed from "
            f"training data, and none is known of {plan.member.name}.",
            "Choose q3_k_m or larger, or export the run that trained it.",
        )
    options = {**plan.document(), "has_rows": has_rows}
    name = Path(plan.member.name).name
    return launch.start(preset, name=name, kind="export", options=options)


def folder_of(member: Member) -> Path:
    """Where a member's files go if nobody says: into its run or merge, else a folder by its path.

    Many adapters lie in folders of the same name.
    """
    if member.run:
        return Run(Path(member.run)).exports
    path = Path(member.path)
    if path.parent.parent in {locations.runs_folder(), locations.merges_folder()}:
        return Run(path.parent).exports
    told_apart = hashlib.blake2b(str(path.absolute()).encode(), digest_size=3).hexdigest()
    return locations.exports_folder() / f"{slug(path.name)}-{told_apart}"
