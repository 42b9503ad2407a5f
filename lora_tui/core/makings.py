"""Merges and exports that were started: which of them is of certain members."""

from collections.abc import Iterable, Mapping
from typing import Any

from lora_tui.core import events, files, locations, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.runs import Run

_LATEST = 20


def latest(kind: str, ids: Iterable[str]) -> Run | None:
    """The newest `merge` or `export` of exactly these members that lives or came to its end.

    One that failed or was stopped is only found where there is no other; None if there is none.
    """
    wanted = set(ids)
    found = [
        run
        for run in runs.list_runs(locations.jobs_folder(kind))[:_LATEST]
        if (info := runs.read_info(run)).get("kind") == kind and _ids(info.get("options")) == wanted
    ]
    sound = (run for run in found if runs.is_alive(run) or _is_finished(run))
    return next(sound, found[0] if found else None)


def refuse_at_work(run: Run) -> None:
    """Make sure that nobody merges or exports what a run left: it is to be deleted.

    Raises:
        LoraTuiError: somebody does.
    """
    for kind in ("merge", "export"):
        for job in runs.list_runs(locations.jobs_folder(kind))[:_LATEST]:
            options = runs.read_info(job).get("options")
            if runs.is_alive(job) and run.id in _ids(options):
                raise LoraTuiError(
                    f"{run.id} is being worked on: {kind} {job.id}.", "Stop that, or let it end."
                )


def made_of(run: Run) -> int:
    """The bytes of what was merged and exported into a run's own folder."""
    return sum(files.size_of(folder) for folder in (run.merged, run.exports))


def _is_finished(run: Run) -> bool:
    return any(event["kind"] == "finished" for event in events.read_ends(run.events)[1])


def _ids(options: Any) -> set[str]:
    if not isinstance(options, Mapping):
        return set()
    found = options.get("members") or [options.get("member")]
    return {str(one.get("id")) for one in found if isinstance(one, Mapping)}
