"""What the screens share that look at a preset before it is run: it may be changed, saved, run."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import Binding, BindingType
from textual.screen import Screen

from lora_tui.core.draft import Draft, differences
from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.tui import preset_flows, run_flows
from lora_tui.tui.failures import Reporting
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.preset_flows import Edited

if TYPE_CHECKING:
    from lora_tui.tui.app import LoraTuiApp


class LookingScreen(Reporting, Screen[Edited | None]):
    """Looks at a preset as it stands in `entry` or, a draft of it, in a form.

    Changes are to the preset in memory, and saved only when the user says so.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s,ctrl+s", "save", "save", key_display="s", tooltip="A shipped one becomes yours"),
        Binding("t", "train", "train", tooltip="Start a run of the preset as it is now"),
        Binding("q,escape", "leave", "back", key_display="q"),
        Binding("u", "undo", "undo", tooltip="Take back the last change"),
        Binding("r", "look", "look anew", show=False, tooltip="Files may have changed"),
    ]

    def __init__(self, entry: Entry, preset: Preset, *, is_draft: bool = False) -> None:
        super().__init__()
        self.entry, self.preset = entry, preset
        self._is_draft, self._opened = is_draft, preset
        self._before: list[Preset] = []

    def on_mount(self) -> None:
        """Begin to look."""
        self.action_look()

    def action_look(self) -> None:
        """Look at the preset as it is now."""
        raise NotImplementedError  # each screen looks at something else

    def lay_out(self) -> None:
        """Show the same with other words: the preset was saved."""

    @property
    def changes(self) -> Sequence[tuple[str, str, str]]:
        """What was changed here: keys, what they were, and what they are."""
        return differences(self._opened, Draft.of(self.preset))

    @property
    def unsaved(self) -> str:
        """What would be lost by leaving now, in words."""
        return preset_flows.few([key for key, _, _ in self.changes])

    @property
    def is_seen(self) -> bool:
        """Whether it is on top, or behind a dialogue: then it goes on too."""
        return self.is_active or self.app.screen.is_modal

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "undo":
            return bool(self._before)
        if action == "save":
            return bool(self.unsaved)
        return True

    def change(self, preset: Preset) -> None:
        """Take a changed preset, and look at it."""
        self._before.append(self.preset)
        self._take(preset)

    def take(self, edited: Edited | None) -> None:
        """Go on with what a screen above made of the preset."""
        if edited is None:
            return
        if edited.entry != self.entry:
            self.entry, self._opened = edited.entry, edited.entry.preset or edited.preset
        if edited.preset != self.preset:
            self.change(edited.preset)

    def action_undo(self) -> None:
        self._take(self._before.pop())

    def _take(self, preset: Preset) -> None:
        self.preset = preset
        self.refresh_bindings()
        self.action_look()

    @asks
    async def action_save(self) -> None:
        await self._save()

    async def _save(self) -> bool:
        ask_name = self.entry.shipped
        saved = await preset_flows.save(self.app, self.entry, self.preset, ask_name=ask_name)
        if saved is None:
            return False
        self.entry = saved
        self.preset = self._opened = saved.preset or self.preset
        self._before.clear()
        self.lay_out()
        self.refresh_bindings()
        return True

    @asks
    async def action_train(self) -> None:
        run = await run_flows.train(self.app, self.preset)
        if run is not None:
            cast("LoraTuiApp", self.app).open_run(run)

    @asks
    async def action_leave(self) -> None:
        """Back to where it was opened; a form takes the changes over, else they are asked about."""
        lost = "" if self._is_draft else self.unsaved
        if await preset_flows.may_leave(self.app, lost, self._save):
            self.dismiss(Edited(self.entry, self.preset))
