"""The one error policy: what the user can act on is shown as it is, anything else goes to a log."""

import time
import traceback
from typing import Any

from textual.app import App
from textual.worker import Worker, WorkerState

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.files import private_folder
from lora_tui.tui.one_at_a_time import BY_KEY

_FITS_A_TOAST = 240


class Reporting:
    """Makes a screen, or the app, report every failure of the workers it starts.

    Workers run with `exit_on_error=False`, which would silence them, and say so only to the node
    that started them. No node itself: a node first among the bases would lose Textual's own CSS.
    """

    app: Any

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Report a worker that failed; one that works every second says the same thing once."""
        error = event.worker.error
        if event.state is not WorkerState.ERROR or error is None:
            return
        said = "".join(traceback.format_exception_only(error)).rstrip().rpartition("\n")[2]
        told: set[str] = vars(self).setdefault("_told", set())
        if event.worker.group in BY_KEY or said not in told:
            told.add(said)
            report(self.app, error)


def report(app: App[Any], error: BaseException) -> None:
    """Show `error`: a toast when it is short, a dialogue to be read in peace when it is not."""
    if not isinstance(error, LoraTuiError):
        app.notify(unexpected(error), severity="error", timeout=20, markup=False)
        return
    summary, hint = error.summary, error.hint
    if "\n" in summary or len(summary) + len(hint) > _FITS_A_TOAST:
        from lora_tui.tui.screens.notice import Notice

        app.push_screen(Notice("This did not work", f"{summary}\n\n{hint}".rstrip()))
        return
    app.notify(hint or " ", title=summary, severity="error", timeout=12, markup=False)


def unexpected(error: BaseException) -> str:
    """Write the traceback of a bug of ours to `<home>/app.log`, and say where it is."""
    lines = "".join(traceback.format_exception(error))
    path = locations.home() / "app.log"
    try:
        with (private_folder(path.parent) / path.name).open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}\n{lines}\n")
        where = f"{path} says more"
    except OSError:
        where = "no log could be written"
    return f"Something went wrong in the app ({type(error).__name__}); runs go on. {where}."
