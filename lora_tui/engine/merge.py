"""A merge: adapters written into their base, proven, measured, and only then put in place."""

import json
from pathlib import Path

from lora_tui.core import locations, merge_check, merging, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.events import finite
from lora_tui.core.files import write_atomically
from lora_tui.core.merging import REPORT, MergePlan
from lora_tui.core.runs import Run
from lora_tui.engine import job, placing
from lora_tui.engine.job import Job, with_torch


def main(folder: Path) -> int:
    """Merge what `run.json` in `folder` names; the events say how it goes."""
    return job.execute(folder, work)


def work(begun: Job) -> None:
    """Make the merged model aside, with its proof and its card; then give it its name."""
    plan = MergePlan.from_document(runs.read_info(begun.run)["options"])
    out = place_of(begun.run)
    combines = merge_check.combines(plan)
    begun.emit(
        "merging",
        members=[member.document() for member in plan.members],
        weights=list(plan.weights),
        method=plan.method if combines else "",
        digests={member.id: merging.digest(member) for member in plan.members},
        path=str(out),
    )
    if found := merge_check.refusals(plan):
        raise BadInput("This cannot be merged:\n" + "\n".join(f"  {line}" for line in found))
    remove_leftovers()
    current = with_torch(begun)
    from lora_tui.engine import merge_card
    from lora_tui.engine.merge_steps import Steps
    from lora_tui.engine.merging import explained

    with explained(out), placing.aside(out) as new:
        Steps(current, plan, new).make()
        made = merging.read(begun.run)
        write_atomically(new / "README.md", merge_card.model_card(made))
        document = json.dumps(finite(made.document()), ensure_ascii=False, indent=1)
        write_atomically(new / REPORT, document)
    begun.end("finished", peak_memory_bytes=current.peak_memory())


def place_of(run: Run) -> Path:
    """Where the result of a merge goes."""
    options = runs.read_info(run).get("options") or {}
    return Path(options.get("out") or run.merged)


def remove_leftovers() -> None:
    """Remove what merges that were killed left half-written, and put back what they replaced."""
    for run in runs.list_runs(locations.merges_folder()):
        if not runs.is_alive(run):
            try:
                placing.remove_stale(place_of(run))
                placing.recover(place_of(run))
            except (LoraTuiError, OSError):  # another merge writes there now, or nobody may
                continue
