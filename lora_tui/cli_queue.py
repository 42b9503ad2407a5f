"""`lora-tui queue`: what runs, what waits, and in which order it starts."""

import time
from collections.abc import Callable
from typing import Any

import click

from lora_tui.console import as_json, print_json, run_ids, say
from lora_tui.core import queue as tickets
from lora_tui.core import references, runs, text
from lora_tui.core.devices import holders
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.queue import Ticket
from lora_tui.core.runs import Run
from lora_tui.core.summary import headline
from lora_tui.jobs import control, launch, queue, slurm


def _option(name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(f"--{name}", metavar="RUN", shell_complete=run_ids, help=words)


@click.command("queue")
@click.option(
    "--move",
    nargs=2,
    metavar="RUN PLACE",
    help="Let RUN start at a place of the queue: 1 is next.",
)
@_option("hold", "Let RUN wait until it is released; those behind it go on.")
@_option("release", "Let a held RUN take its turn again.")
@_option("cancel", "Take RUN out of the queue; it can be resumed.")
@as_json
def list_queue(
    move: tuple[str, str] | None,
    hold: str | None,
    release: str | None,
    cancel: str | None,
    as_json: bool,
) -> None:
    """List what runs and what waits for its turn, or change the order.

    Runs of one device start one after another, with this terminal open or not. After a reboot of
    the machine this command, or the app, lets them go on.
    """
    if hold:
        queue.hold(_waiting(hold))
    if release:
        launch.resume(_waiting(release))
    if cancel:
        control.stop(_waiting(cancel))
    if move:
        queue.move(references.find(move[0]), _place(move[1]))
    try:
        queue.dispatch()
        queue.keep_going()
    except LoraTuiError as error:  # what there is can be listed all the same
        say(str(error), err=True)
    slurm.look()
    lines = [*_at_work(), *_in_line()]
    if as_json:
        print_json(lines)
        return
    if not lines:
        say("Nothing runs and nothing waits.", err=True)
    else:
        say(f"{'':>3} {'run':<36} {'state':<9} {'device':<8} for")
    for line in lines:
        state = "held" if line["held"] else line["state"]
        when = text.duration(max(0.0, time.time() - line["since"])) if line["since"] else ""
        place = str(line["position"] or "")
        theirs = line["waits_for"] if line["slurm"] else ""
        say(f"{place:>3} {line['id']:<36} {state:<9} {line['device']:<8} {when}  {theirs}".rstrip())


def _waiting(reference: str) -> Run:
    run = references.find(reference)
    if tickets.read(run) is None:
        raise BadInput(f"{run.id} does not wait.", "`lora-tui queue` lists what does.")
    return run


def _place(words: str) -> int:
    if not words.isdecimal() or not int(words):
        raise BadInput(f'"{words}" is no place in the queue.', "1 is next.")
    return int(words)


def _at_work() -> list[dict[str, Any]]:
    return [_line(run, device=device) for device, run in holders().items()]


def _in_line() -> list[dict[str, Any]]:
    return [_line(one.run, one, place) for place, one in enumerate(tickets.waiting(), 1)]


def _line(
    run: Run, ticket: Ticket | None = None, place: int | None = None, device: str = ""
) -> dict[str, Any]:
    line = headline(run)
    return {
        "id": run.id,
        "name": line.name,
        "state": line.state,
        "position": place,
        "held": ticket is not None and ticket.held,
        "device": device,
        "host": ticket.host if ticket else None,
        "slurm": (ticket.slurm or None) if ticket else None,
        "since": ticket.t if ticket else runs.read_info(run).get("launched"),
        "waits_for": slurm.standing(run) if ticket else None,
    }


VERBS = (list_queue,)
