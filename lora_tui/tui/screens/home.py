"""Home: presets on the left, runs on the right, and a line about the one under the cursor."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.reactive import var
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.worker import get_current_worker

from lora_tui.core.overview import Overview
from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.core.summary import Headline
from lora_tui.tui.home_news import PresetsRead, Seen
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.screens.marking import MarkingScreen
from lora_tui.tui.widgets.detail import Detail
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.preset_list import PresetList, PresetRow, fitting, read_rows
from lora_tui.tui.widgets.row_list import nothing_in
from lora_tui.tui.widgets.run_list import NO_RUNS, RunList, changes, rows_of
from lora_tui.tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp

_LOOK_EVERY = 1.0


class HomeScreen(MarkingScreen):
    """Everything starts here."""

    CSS_PATH = "home.tcss"
    AUTO_FOCUS = "PresetList"
    HELP = """Pick a preset on the left and train it; watch the run on the right. Mark runs with
        space to compare, ask or merge them; export one."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "train", "train", show=False, tooltip="Start a run of the preset"),
        Binding("d", "look('data')", "data", show=False, tooltip="What it would be trained on"),
        Binding("c", "look('check')", "check", show=False, tooltip="Would a run of it work"),
        Binding("s", "sweep", "sweep", show=False, tooltip="Several runs, with values each"),
        Binding("n", "new_preset", "new", show=False, tooltip="Make a preset from this one"),
        Binding("slash", "find", "find", tooltip="Show only what holds a text"),
        Binding("tab,shift+tab", "other_list", "other list", show=False),
        Binding("left", "go('PresetList')", "presets", show=False),
        Binding("right", "go('RunList')", "runs", show=False),
        Binding("r", "look_again", "look again", show=False, tooltip="Read presets and runs anew"),
        Binding("escape", "show_all", "show all"),
    ]

    presets: var[tuple[PresetRow, ...]] = var(())

    def __init__(self) -> None:
        """Know of nothing yet."""
        super().__init__()
        self._overview = Overview()
        self._looking = self._look_at_all_again = False

    def compose(self) -> ComposeResult:
        yield TitleBar()
        with Horizontal(id="lists"):
            yield PresetList(classes="pane")
            yield RunList(classes="pane")
        yield Detail()
        yield Input(id="find", placeholder="show only what holds this text", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        """Look for presets and runs in workers, and not before the first frame is out."""
        self.query_one("#find").display = False
        self.query_one(PresetList).set_title("Presets")
        self.query_one(RunList).set_title("Runs")
        self.call_after_refresh(self.action_look_again)
        self.set_interval(_LOOK_EVERY, self.look)

    def on_screen_resume(self) -> None:
        if self.presets:  # some may have been saved meanwhile
            self.read_presets()

    # --- what is on disk ---------------------------------------------------------------------

    def look(self, *, at_all: bool = False) -> None:
        """Look at the runs; while a look is going on, only one `at_all` follows it."""
        if self._looking:
            self._look_at_all_again |= at_all
            return
        self._looking, self._look_at_all_again = True, False
        self._look(at_all)

    def _looked(self) -> None:
        self._looking = False
        if self._look_at_all_again:
            self.look(at_all=True)

    @work(thread=True, exit_on_error=False, group="look")
    def _look(self, at_all: bool) -> None:
        try:
            for board in self._overview.look(at_all=at_all):
                self.post_message(Seen(board))
        finally:
            self.call_later(self._looked)

    @work(thread=True, exclusive=True, exit_on_error=False, group="presets")
    def read_presets(self) -> None:
        rows = read_rows()
        if not get_current_worker().is_cancelled:  # else they are being read anew
            self.post_message(PresetsRead(rows))

    @on(Seen)
    def take_board(self, message: Seen) -> None:
        self.query_one(RunList).keep_marks(run.id for run in message.board.runs)
        self.board = message.board

    @on(PresetsRead)
    def take_presets(self, message: PresetsRead) -> None:
        self.presets = message.rows

    def _show(self) -> None:
        if not self.is_mounted:
            return
        presets, board, wanted = self.query_one(PresetList), self.board, self.wanted
        presets.show(fitting(self.presets, wanted), empty=nothing_in("presets", wanted))
        presets.set_title("Presets", wanted)
        run_list = self.query_one(RunList)
        run_list.show(
            rows_of(board, wanted), empty=nothing_in("runs", wanted) if wanted else NO_RUNS
        )
        run_list.set_title("Runs", wanted, of=len(board.runs))
        self._show_detail()

    watch_board = watch_presets = watch_wanted = _show

    @on(OptionList.OptionHighlighted)
    def _show_detail(self) -> None:
        if isinstance(self.focused, RunList):
            self.query_one(Detail).show_run(self.line)
        else:
            self.query_one(Detail).show_preset(self.row)
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """The detail is about the list one is in."""
        focused = self.focused
        if isinstance(focused, PresetList | RunList):
            self.set_class(isinstance(focused, RunList), "-runs")
        self._show_detail()

    # --- what is under the cursor ------------------------------------------------------------

    @property
    def row(self) -> PresetRow | None:
        """The chosen preset."""
        chosen = self.query_one(PresetList).chosen
        return next((row for row in self.presets if row.key == chosen), None)

    @property
    def line(self) -> Headline | None:
        """The chosen run's headline, once it is read."""
        chosen = self.query_one(RunList).chosen
        return next((line for run, line in self.board.lines.items() if run.id == chosen), None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Show only keys that do something for what is chosen."""
        line = self.line
        if action == "show_all":
            return bool(self.wanted)
        if action == "open_log":
            return line is not None
        if action == "change_run":
            return parameters[0] in changes(line)
        if action in {"train", "look", "new_preset", "sweep"}:
            return self.row is not None and self.row.entry.preset is not None
        return super().check_action(action, parameters)

    async def _chosen(self) -> Preset | None:
        from lora_tui.tui import preset_flows

        now = await preset_flows.read_again(self.app, self.row.entry) if self.row else None
        return now.preset if now else None

    @property
    def _app(self) -> "LoraTuiApp":
        return cast("LoraTuiApp", self.app)

    @on(OptionList.OptionSelected, "PresetList")
    def open_preset(self) -> None:
        if self.row is not None:
            self.open_entry(self.row.entry)

    @asks
    async def open_entry(self, entry: Entry) -> None:
        """Open the form, or say what is wrong with the file."""
        from lora_tui.tui import preset_flows
        from lora_tui.tui.screens.preset_form import PresetForm

        if now := await preset_flows.read_again(self.app, entry):
            await self.app.push_screen(PresetForm(now))

    @on(OptionList.OptionSelected, "RunList")
    def open_run(self, event: OptionList.OptionSelected) -> None:
        run = next((run for run in self.board.runs if run.id == event.option_id), None)
        if run is None:
            self.notify("That run is gone.", severity="warning")
        else:
            self._app.open_run(run)

    def action_open_log(self) -> None:
        if self.line:
            self._app.open_log(self.line.run)

    @asks
    async def action_new_preset(self) -> None:
        """Ask for a name, save a copy under it, and open the form."""
        from lora_tui.tui import preset_flows

        preset = await self._chosen()
        entry = await preset_flows.new_preset(self.app, preset) if preset else None
        if entry is not None:
            from lora_tui.tui.screens.preset_form import PresetForm

            await self.app.push_screen(PresetForm(entry))

    @asks
    async def action_train(self) -> None:
        from lora_tui.tui import run_flows

        preset = await self._chosen()
        run = await run_flows.train(self.app, preset) if preset else None
        if run is not None:
            self.query_one(RunList).expect(run.id)
            self.look(at_all=True)
            self._app.open_run(run)

    @asks
    async def action_sweep(self) -> None:
        from lora_tui.tui import sweep_flows

        if preset := await self._chosen():
            await sweep_flows.open_form(self.app, preset)

    @asks
    async def action_look(self, how: str) -> None:
        """Look at the chosen preset's data, or check whether a run of it would work."""
        from lora_tui.tui import look_flows

        if self.row:
            await look_flows.look_at(self.app, self.row.entry, how)

    @asks
    async def action_change_run(self, how: str) -> None:
        """Stop, pause, resume or delete the chosen run; asked first where something is lost."""
        from lora_tui.tui import run_flows

        flow = {
            "stop": run_flows.stop,
            "pause": run_flows.pause,
            "resume": run_flows.resume,
            "delete": run_flows.delete,
            "earlier": run_flows.earlier,
            "later": run_flows.later,
        }[how]
        if self.line and await flow(self.app, self.line):
            self.look(at_all=True)

    # --- moving and finding ------------------------------------------------------------------

    def action_other_list(self) -> None:
        self.action_go("PresetList" if isinstance(self.focused, RunList) else "RunList")

    def action_go(self, name: str) -> None:
        pane = self.query_one(name, Widget)
        self.set_class(name == "RunList", "-runs")
        self.set_focus(pane)  # at once: over a slow line keys arrive in bursts

    def action_find(self) -> None:
        field = self.query_one("#find")
        field.display = True
        self.set_focus(field)

    def action_show_all(self) -> None:
        self.query_one("#find", Input).value = ""
        self._leave_find()

    @on(Input.Changed, "#find")
    def find(self, event: Input.Changed) -> None:
        self.wanted = event.value.strip()

    @on(Input.Submitted, "#find")
    def _leave_find(self) -> None:
        self.query_one("#find").display = False
        self.action_go("RunList" if self.has_class("-runs") else "PresetList")

    def action_look_again(self) -> None:
        self.read_presets()
        self.look(at_all=True)
