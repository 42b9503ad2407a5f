"""The preset form: a tab a table, a line a setting, and beside them what follows from it all."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.events import DescendantFocus, Resize
from textual.message import Message
from textual.reactive import var
from textual.screen import Screen
from textual.widgets import ContentSwitcher
from textual.worker import get_current_worker

from lora_tui.core import presets
from lora_tui.core.advice import Advice
from lora_tui.core.draft import Draft
from lora_tui.core.measured import Measured, collect
from lora_tui.core.preset_files import Entry
from lora_tui.core.settings import Knob
from lora_tui.tui import (
    advice_flows,
    advice_words,
    look_flows,
    preset_flows,
    run_flows,
    setting_flows,
)
from lora_tui.tui.columns import Part, cut
from lora_tui.tui.failures import Reporting
from lora_tui.tui.forecast import Forecast, forecast
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.preset_flows import Edited
from lora_tui.tui.widgets.about_setting import AboutSetting
from lora_tui.tui.widgets.follows import Follows
from lora_tui.tui.widgets.hints import Hints
from lora_tui.tui.widgets.key_bar import KeyBar
from lora_tui.tui.widgets.setting_field import Fields, SettingField
from lora_tui.tui.widgets.title_bar import TitleBar

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp

_PAGE = 10
_WIDE = 116  # columns from which the figures stand beside the settings


class PresetForm(Screen[None], Reporting):
    """Edits a draft; nothing reaches the disk before it is saved."""

    CSS_PATH = "preset_form.tcss"
    AUTO_FOCUS = "#model SettingField"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-normal"), (_WIDE, "-wide")]
    HELP = """All settings of a preset. Enter edits a line; problems are said beside it. v lists
        what experience advises; its rules and their sources are at the end of this help."""
    HELP_ROWS = advice_words.RULES_FOR_HELP
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,right_square_bracket", "table(1)", "table", key_display="tab"),
        Binding("shift+tab,left_square_bracket", "table(-1)", "table before", show=False),
        *(
            Binding(str(at), f"go_to_table({at - 1})", table, show=False)
            for at, table in enumerate(presets.TABLES, 1)
        ),
        Binding("j,down", "move(1)", "down", show=False),
        Binding("k,up", "move(-1)", "up", show=False),
        Binding("pagedown,ctrl+d", f"move({_PAGE})", "page down", show=False),
        Binding("pageup,ctrl+u", f"move(-{_PAGE})", "page up", show=False),
        Binding("g,home", "move(-1000)", "first", show=False),
        Binding("G,end", "move(1000)", "last", show=False),
        Binding("s,ctrl+s", "save", "save", key_display="s", tooltip="A shipped one becomes yours"),
        Binding("a", "save_as", "save as", show=False, tooltip="Under another name"),
        Binding("t", "train", "train", tooltip="Start a run of what stands here, saved or not"),
        Binding("d", "look('data')", "data", tooltip="What it would be trained on"),
        Binding("c", "look('check')", "check", tooltip="Would a run of it work"),
        Binding("q,escape", "leave", "back", key_display="q"),
        Binding("v", "advice", "advice", tooltip="What experience says, and what would help"),
        Binding("f", "difference", "diff", tooltip="What differs from the saved preset"),
    ]

    draft: var[Draft] = var(Draft({}), init=False)

    class Counted(Message):
        """What follows from a draft, or why it cannot be said; and the advice on it."""

        def __init__(self, found: Forecast, advices: Sequence[Advice]) -> None:
            super().__init__()
            self.found, self.advices = found, advices

    def __init__(self, entry: Entry) -> None:
        super().__init__()
        assert entry.preset is not None
        self._entry = entry
        self._was = Draft.of(entry.preset)
        self._measured: list[Measured] | None = None
        self._advices: Sequence[Advice] = ()
        self._lost: Mapping[str, tuple[str, str]] = {}
        self._fields = {item.key: SettingField(item) for item in presets.all_knobs()}
        self.set_reactive(PresetForm.draft, self._was)

    def compose(self) -> ComposeResult:
        yield TitleBar()
        with Container(id="body"):
            with ContentSwitcher(id="tables", initial="model", classes="pane"):
                for table in presets.TABLES:
                    with Fields(id=table):
                        fields = self._fields.values()
                        yield from (field for field in fields if field.item.table == table)
            with Vertical(id="side"):
                yield AboutSetting(id="about")
                yield Follows()
                yield Hints()
        yield KeyBar()

    def on_mount(self) -> None:
        self.watch_draft()

    # --- showing -----------------------------------------------------------------------------

    def watch_draft(self) -> None:
        self._show_fields()
        self.count()

    def _show_fields(self) -> None:
        self._problems = {one.key: one.message for one in reversed(self.draft.problems)}
        for key, field in self._fields.items():
            field.text = self.draft.text(field.item)
            text, message = self._lost.get(key, ("", ""))
            if message and text == field.text:  # else it is being looked for
                self._problems.setdefault(key, message)
            field.problem = self._problems.get(key, "")
            field.changed = self.draft.text(field.item) != self._was.text(field.item)
        self._show_place()
        self._show_about()

    def _show_place(self) -> None:
        switcher = self.query_one(ContentSwitcher)
        parts: list[Part] = []
        for table in presets.TABLES:
            wrong = sum(key.startswith(f"{table}.") for key in self._problems)
            words = f"{table} {wrong}!" if wrong else table
            here = table == switcher.current
            style = "$text-error" if wrong else ("bold" if here else "$foreground-muted")
            parts += [(f"[{words}]" if here else words, style), (" ", "")]
        switcher.border_title = Content.assemble(*parts[:-1])
        state = "unsaved" if self.unsaved else ("shipped" if self._entry.shipped else "saved")
        self.query_one(TitleBar).trail = (self._entry.name, state)

    def _show_about(self) -> None:
        if (field := self._field) is not None:
            self.query_one(AboutSetting).show(field, self._was.text(field.item))

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._show_about()

    def on_resize(self, event: Resize) -> None:
        self.query_one(Follows).is_column = event.size.width >= _WIDE
        self.call_after_refresh(self._show_advice)

    @work(thread=True, exclusive=True, exit_on_error=False, group="count")
    def count(self) -> None:
        """Say what follows; the header of a big model takes a moment to read."""
        self._measured = collect() if self._measured is None else self._measured
        found = forecast(self.draft, self._measured)
        advices = advice_flows.on_draft(self.draft, self._measured)
        if not get_current_worker().is_cancelled:  # else a newer draft is being counted
            self.post_message(self.Counted(found, advices))

    def on_preset_form_counted(self, message: Counted) -> None:
        self.query_one(Follows).forecast = message.found
        self._lost = message.found.lost
        self._show_fields()
        self._advices = message.advices
        self._show_advice()

    def _show_advice(self) -> None:
        """Beside the figures where there is room, else on the border."""
        is_wide = self.size.width >= _WIDE
        self.query_one(Hints).advices = self._advices if is_wide else ()
        words = "" if is_wide else cut(advice_words.line(self._advices), self.size.width - 8)
        self.query_one(ContentSwitcher).border_subtitle = Content(words)

    def on_screen_resume(self) -> None:
        if self._measured is not None:  # a check or a report may have been made meanwhile
            self._measured = None
            self.count()

    @property
    def _field(self) -> SettingField | None:
        """The line one is on, also while an input stands in it."""
        around = (self.focused, self.focused.parent if self.focused else None)
        return next((one for one in around if isinstance(one, SettingField)), None)

    def _lines(self) -> list[SettingField]:
        table = self.query_one(ContentSwitcher).current
        return [field for field in self._fields.values() if field.item.table == table]

    def action_move(self, by: int) -> None:
        lines = self._lines()
        place = lines.index(self._field) if self._field in lines else 0
        # At once: keys come in bursts.
        self.set_focus(lines[min(max(place + by, 0), len(lines) - 1)])

    def action_table(self, by: int) -> None:
        names = list(presets.TABLES)
        here = names.index(self.query_one(ContentSwitcher).current or "")
        self.action_go_to_table((here + by) % len(names))

    def action_go_to_table(self, place: int) -> None:
        self.query_one(ContentSwitcher).current = list(presets.TABLES)[place]
        self.set_focus(self._lines()[0])
        self._show_place()

    # --- editing -----------------------------------------------------------------------------

    @on(SettingField.Typed)
    def take_text(self, message: SettingField.Typed) -> None:
        self.draft = self.draft.with_text(message.item, message.text)

    @on(SettingField.Undone)
    def undo(self, message: SettingField.Undone) -> None:
        self.draft = self.draft.with_text(message.item, self._was.text(message.item))

    @on(SettingField.Chosen)
    def take_value(self, message: SettingField.Chosen) -> None:
        if message.item.key == "model.trust_remote_code" and message.value:
            self._let_code_in(message.item)
        else:
            self.draft = self.draft.with_value(message.item, message.value)

    @asks
    async def _let_code_in(self, item: Knob) -> None:
        if await setting_flows.may_run_code(self.app):
            self.draft = self.draft.with_value(item, True)

    @on(SettingField.PickWanted)
    @asks
    async def pick(self, message: SettingField.PickWanted) -> None:
        item = message.item
        place = await setting_flows.pick(self.app, item, self.draft.text(item))
        if place is not None:
            self.draft = self.draft.with_value(item, item.limits.choices[place])

    # --- the disk ----------------------------------------------------------------------------

    @property
    def unsaved(self) -> str:
        """What would be lost by leaving now, in words."""
        return preset_flows.few([key for key, field in self._fields.items() if field.changed])

    @asks
    async def action_save(self) -> None:
        await self._save()

    @asks
    async def action_save_as(self) -> None:
        await self._save(as_new=True)

    async def _save(self, *, as_new: bool = False) -> bool:
        preset, ask = self.draft.preset, as_new or self._entry.shipped
        saved = await preset_flows.save(self.app, self._entry, preset, ask_name=ask)
        if saved is not None:
            self._take(Edited(saved, saved.preset or preset))
        return saved is not None

    def _take(self, edited: Edited | None) -> None:
        """Go on with a preset that was saved, or changed elsewhere."""
        if edited is not None:
            self._entry = edited.entry
            self._was = Draft.of(edited.entry.preset or edited.preset)
            self.draft = Draft.of(edited.preset)
            self.watch_draft()

    @asks
    async def action_difference(self) -> None:
        edited = bool(self.unsaved)
        await preset_flows.show_difference(self.app, self._entry, self.draft, edited=edited)

    @asks
    async def action_advice(self) -> None:
        take = partial(setattr, self, "draft")
        await advice_flows.into_draft(self.app, self.draft, self._measured or (), take)

    @asks
    async def action_look(self, how: str) -> None:
        await look_flows.LOOKS[how](self.app, self._entry, self.draft.preset, self._take)

    @asks
    async def action_train(self) -> None:
        run = await run_flows.train(self.app, self.draft.preset)
        if run is not None:
            cast("LoraTuiApp", self.app).open_run(run)

    @asks
    async def action_leave(self) -> None:
        if await preset_flows.may_leave(self.app, self.unsaved, self._save):
            self.dismiss()
