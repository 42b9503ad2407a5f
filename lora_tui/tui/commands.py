"""The palette (ctrl+p or `:`) finds what the present screen can do, every preset and every run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.style import Style

from lora_tui.core.text import one_line
from lora_tui.tui.widgets.key_bar import key_name

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp
    from lora_tui.tui.screens.home import HomeScreen

_ACTIONS_OF_THE_PALETTE = {"command_palette", "select", "submit", "copy_text", "other_list"}


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
        self._commands = [*self._actions(), *self._places()]

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
