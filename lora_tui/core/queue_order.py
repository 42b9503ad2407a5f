"""Changing the order of the queue, one file at a time, so that it holds at every moment."""

from collections.abc import Sequence
from dataclasses import replace

from lora_tui.core import queue
from lora_tui.core.errors import BadInput
from lora_tui.core.queue import Ticket
from lora_tui.core.runs import Run


def move(run: Run, place: int) -> None:
    """Let a run that waits be at `place`, from 1 on; beyond the end it is the last.

    Raises:
        LoraTuiError: it does not wait, the queue cannot be read, or the disk did not take it.
    """
    everybody = queue.everybody()
    mine = next((one for one in everybody if one.run == run), None)
    if mine is None:
        raise BadInput(f"{run.id} does not wait.", "`lora-tui queue` lists what does.")
    others = [one for one in everybody if one.run != run]
    place = max(0, min(place - 1, len(others)))
    position = _between(others, place)
    if position is None:  # no number is left between its neighbours
        others = [one for one in _spread(everybody) if one.run != run]
        position = _between(others, place)
    assert position is not None
    queue.write(replace(mine, position=position))


def _between(tickets: Sequence[Ticket], place: int) -> float | None:
    """A position that sorts before `tickets[place]` and behind the one before."""
    if not tickets:
        return 1.0
    if place == 0:
        return tickets[0].position - 1
    if place == len(tickets):
        return tickets[-1].position + 1
    low, high = tickets[place - 1].position, tickets[place].position
    middle = (low + high) / 2
    return middle if low < middle < high else None


def _spread(tickets: Sequence[Ticket]) -> list[Ticket]:
    """The same order in whole numbers; the last is written first, so it holds at every moment."""
    top = tickets[-1].position + 1
    spread = [replace(one, position=top + place) for place, one in enumerate(tickets)]
    for one in reversed(spread):
        queue.write(one)
    return spread
