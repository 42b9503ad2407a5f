"""The palette (ctrl+p or `:`) finds what the present screen can do, every preset and every run."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from lora_tui.core import comparisons
from lora_tui.core.comparisons import Earlier
from lora_tui.core.text import one_line
from lora_tui.tui.widgets.key_bar import key_name

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp
    from lora_tui.tui.screens.home import HomeScreen

_ACTIONS_OF_THE_PALETTE = {"command_palette", "select", "submit", "copy_text", "other_list"}
_KINDS = {"compare": "comparison", "merge": "merge", "sweep": "sweep"}
_WITH_RUNS = (
    ("compare runs", "compare"),
    ("ask runs in a chat", "ask"),
    ("merge runs", "merge"),
    ("export a run", "export"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do, as the palette lists it."""

    text: str
    help: str
    run: Callable[[], object]


class Everything(Provider):
    """All there is to do from here."""

    async def startup(self) -> None:
        """Collect the commands once: they do not change while the palette is open."""
        found = await asyncio.to_thread(comparisons.earlier)
        self._commands = [*self._actions(), *self._with_runs(), *self._places()]
        self._commands += map(self._earlier, found)

    async def discover(self) -> Hits:
        """What the screen's own keys do, before anything is typed."""
        for command in self._actions():
            yield DiscoveryHit(Content(command.text), command.run, command.text, command.help)

    async def search(self, query: str) -> Hits:
        """Whatever matches."""
        matcher = self.matcher(query)
        style = self.match_style or Style(bold=True)
        for command in self._commands:
            score, offsets = matcher.fuzzy_search.match(query, command.text)
            if score > 0:
                shown = Content(command.text)
                for offset in offsets:
                    shown = shown.stylize(style, offset, offset + 1)
                yield Hit(score, shown, command.run, command.text, command.help)

    def _actions(self) -> Iterator[Command]:
        """Each binding that does something now."""
        seen = set()
        for active in self.screen.active_bindings.values():
            binding = active.binding
            name = binding.action.rpartition(".")[2]
            wanted = binding.show or bool(binding.tooltip)
            if not active.enabled or not wanted or name in seen or name in _ACTIONS_OF_THE_PALETTE:
                continue
            seen.add(name)
            run = partial(self.app.run_action, binding.action, active.node)
            yield Command(
                binding.description, f"{key_name(binding)}  {binding.tooltip}".strip(), run
            )

    def _with_runs(self) -> Iterator[Command]:
        """What is done with the marked runs, from wherever one is on Home."""
        home = self.app.screen_stack[0]
        bound = {one.binding.action for one in self.screen.active_bindings.values()}
        for text, name in _WITH_RUNS:
            is_here = self.screen is home and f"screen.{name}" not in bound
            if is_here and home.check_action(name, ()):
                run = partial(self.app.run_action, name, home)
                yield Command(text, "The marked runs, or the one at the cursor", run)

    def _earlier(self, one: Earlier) -> Command:
        names, kind = ", ".join(map(one_line, one.names)), _KINDS[one.kind]
        text = f"{kind} {names}, {one.state}, {one_line(one.run.id)}"
        return Command(text, "Open it again", partial(self._open_again, one))

    def _open_again(self, one: Earlier) -> None:
        from lora_tui.tui import earlier_flows

        self.app.run_worker(earlier_flows.open_again(self.app, one), exit_on_error=False)

    def _places(self) -> Iterator[Command]:
        app = cast("LoraTuiApp", self.app)
        home = cast("HomeScreen", app.screen_stack[0])
        for row in home.presets:
            yield Command(
                one_line(f"preset {row.entry.name}"),
                "Open the form",
                partial(home.open_entry, row.entry),
            )
        for run in home.board.runs:
            line = home.board.lines.get(run)
            name = f"{line.name}, {line.state}, " if line else ""
            text = one_line(f"run {name}{run.id}")
            yield Command(text, "Show the run", partial(app.open_run, run))
