"""Starting a merge: what may go together, and where the result is put."""

from pathlib import Path

from lora_tui.core import merge_check, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.members import told_apart
from lora_tui.core.merging import REPORT, MergePlan
from lora_tui.core.runs import Run
from lora_tui.jobs import launch
from lora_tui.jobs.exact import exact_preset


def start(plan: MergePlan, out: Path | None = None) -> Run:
    """Make a merge's folder and launch its engine.

    The result of one run's adapter goes into that run's folder, of several into the merge's own.

    Raises:
        LoraTuiError: these cannot be merged like that, `out` is taken, or the engine cannot be
            started.
    """
    if found := merge_check.refusals(plan):
        raise BadInput("This cannot be merged:\n" + "\n".join(f"  {line}" for line in found))
    members = told_apart(plan.members)
    preset, has_rows = exact_preset(members)
    if out is not None:
        refuse_taken(out, REPORT)
        if found := merge_check.about_place(out, members):
            raise BadInput("It cannot be put there:\n" + "\n".join(f"  {line}" for line in found))
    elif len(members) == 1 and members[0].run:
        out = Run(Path(members[0].run)).merged
    name = "-".join(Path(member.name).name for member in members[:3])
    options = {
        **plan.document(),
        "members": [member.document() for member in members],
        "out": str(out.expanduser().absolute()) if out else "",
        "has_rows": has_rows,
    }
    return launch.start(preset, name=name, kind="merge", options=options)


def replaced(run: Run) -> str:
    """The folder of an earlier merge that this one is going to replace; empty if there is none."""
    options = runs.read_info(run).get("options") or {}
    out = options.get("out") or ""
    return str(out) if out and (Path(out) / REPORT).is_file() else ""


def refuse_taken(folder: Path, ours: str) -> None:
    """Make sure that nothing is lost by writing into `folder`; `ours` marks what we made there.

    Raises:
        BadInput: something else is there.
    """
    folder = folder.expanduser()
    try:
        is_free = not folder.exists() or (folder / ours).is_file() or not any(folder.iterdir())
    except OSError as error:
        raise BadInput(f"{folder} is no folder: {error}.", "Name another.") from error
    if not is_free:
        raise BadInput(f"{folder} holds something else already.", "Name a new folder.")
