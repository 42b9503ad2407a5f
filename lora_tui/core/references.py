"""Which run a user means: by its id, the beginning of one, a name, or `last`."""

from pathlib import Path

from lora_tui.core import runs
from lora_tui.core.errors import Ambiguous, BadInput
from lora_tui.core.runs import Run
from lora_tui.core.text import did_you_mean


def find(reference: str, folder: Path | None = None) -> Run:
    """The run a command line names: an id, a unique prefix of one, a unique name, or `last`.

    `folder` is where to look, if not among the runs.

    Raises:
        BadInput: there is none, or several fit: the wrong one might be deleted.
    """
    found = runs.list_runs(folder)
    if reference == "last" and found:
        return found[0]
    if exact := [run for run in found if run.id == reference]:
        return exact[0]
    names = {run: runs.read_info(run).get("name") for run in found}
    named = [run for run, name in names.items() if name == reference]
    fitting = named or [run for run in found if reference and run.id.startswith(reference)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        ids = ", ".join(run.id for run in fitting[:5])
        raise Ambiguous(f'"{reference}" fits {len(fitting)} runs: {ids}.', "Type more of the id.")
    if folder is not None:
        raise BadInput(
            f'There is no "{reference}" in {folder}.', "Type the name of a folder there."
        )
    known = [*(str(name) for name in names.values() if name), *(run.id for run in found)]
    said = f'There is no run "{reference}"{did_you_mean(reference, known)}'
    raise BadInput(said, "`lora-tui runs` lists them.")
