"""What is done with several runs: some are marked in a list, then compared, asked or merged."""

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.reactive import var
from textual.screen import Screen

from lora_tui.core.overview import Board
from lora_tui.core.runs import Run
from lora_tui.tui.failures import Reporting
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.widgets.run_list import RunList


class MarkingScreen(Reporting, Screen[None]):
    """Has a list of runs; `wanted` narrows it, which takes no marks away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "o",
            "earlier",
            "earlier",
            show=False,
            tooltip="What was compared, merged or swept before",
        ),
    ]

    board: var[Board] = var(Board())
    wanted: var[str] = var("")

    @property
    def picked(self) -> list[Run]:
        """The marked runs, oldest first; without marks the one at the cursor."""
        run_list = self.query_one(RunList)
        wanted = run_list.marked or {run_list.chosen}
        return sorted(run for run in self.board.runs if run.id in wanted)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Show only keys that do something now."""
        if action in {"compare", "ask", "merge", "export"}:
            return bool(self.picked)
        if action == "unmark":  # the filter goes first
            return not self.wanted and bool(self.query_one(RunList).marked)
        return True

    @asks
    async def action_compare(self) -> None:
        from lora_tui.tui import compare_flows

        await compare_flows.compare_runs(self.app, self.picked)

    @asks
    async def action_ask(self) -> None:
        from lora_tui.tui import compare_flows

        await compare_flows.ask_runs(self.app, self.picked)

    @asks
    async def action_merge(self) -> None:
        from lora_tui.tui import merge_flows

        await merge_flows.merge_runs(self.app, self.picked)

    @asks
    async def action_export(self) -> None:
        from lora_tui.tui import export_flows

        await export_flows.export_runs(self.app, self.picked)

    @asks
    async def action_earlier(self) -> None:
        from lora_tui.tui import earlier_flows

        await earlier_flows.choose(self.app)

    def action_unmark(self) -> None:
        self.query_one(RunList).unmark()
