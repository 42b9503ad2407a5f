"""Back to a comparison, a merge or a sweep that was made before. Call these from a worker."""

import asyncio
from typing import Any

from textual.app import App

from lora_tui.core import comparisons, sweeps
from lora_tui.core.comparisons import Earlier
from lora_tui.core.plain import moment
from lora_tui.core.text import one_line
from lora_tui.tui import compare_flows, merge_flows, sweep_flows
from lora_tui.tui.columns import cut, left
from lora_tui.tui.look import STATES, glyph
from lora_tui.tui.screens.choose import Choose

_DONE = {"compare": "compared", "merge": "merged", "sweep": "swept"}

_NONE = (
    "Nothing was compared or merged yet: mark runs with space, then press c or m. "
    "Nor was anything swept: s on a preset."
)


async def choose(app: App[Any]) -> None:
    """Choose one, and open it."""
    found = await asyncio.to_thread(comparisons.earlier)
    if not found:
        app.notify(_NONE, markup=False)
        return
    at = await app.push_screen_wait(Choose("Made before", [*map(_in_words, found)], 0))
    if at is not None:
        await open_again(app, found[at])


def _in_words(one: Earlier) -> str:
    mark = glyph(one.state) if one.state in STATES else " "
    when, done = moment(one.created, "%d %b %H:%M"), left(_DONE[one.kind], 10)
    return f"{mark} {when}  {done}{cut(', '.join(map(one_line, one.names)), 33)}"


async def open_again(app: App[Any], one: Earlier) -> None:
    """Show it, at work or ended."""
    if one.kind == "sweep":
        if sweep := await asyncio.to_thread(sweeps.read, one.run.path):
            await sweep_flows.open_sweep(app, sweep)
        return
    flow = merge_flows.open_earlier if one.kind == "merge" else compare_flows.open_comparison
    await flow(app, one.run)
