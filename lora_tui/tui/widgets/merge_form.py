"""The form of a merge: a line an adapter, a line a setting, and below them what follows."""

from collections.abc import Sequence
from typing import ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import OptionList

from lora_tui.core.members import Member
from lora_tui.tui import merge_asking, merge_words
from lora_tui.tui.columns import cut
from lora_tui.tui.failures import Reporting
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.merge_outlook import Outlook, look_at
from lora_tui.tui.merge_words import GAP, MemberLine
from lora_tui.tui.one_at_a_time import asks
from lora_tui.tui.wanting import Latest
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper
from lora_tui.tui.widgets.row_list import Row, RowList

_START = Binding("t", "screen.start", "merge", tooltip="Write the adapters into their base")


class MergeList(RowList):
    """Adapters, a gap, settings; enter asks for what stands in a line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _START,
        Binding("enter", "select", "edit", tooltip="Type or choose what stands in this line"),
    ]

    def show(self, rows: Sequence[Row], *, empty: str = "") -> None:
        """Show these lines; no cursor comes to stand on the gap."""
        super().show(rows, empty=empty)
        for at, row in enumerate(rows):
            if row.key == GAP and not self.get_option_at_index(at).disabled:
                self.disable_option_at_index(at)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.scroll_to_highlight()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A line on which nothing can be changed is none to edit."""
        row = next((row for row in self._rows if row.key == self.chosen), None)
        return action != "select" or not isinstance(row, MemberLine) or row.weight is not None


class MergeForm(Reporting, Vertical):
    """Edits a draft, and says what follows from it; the screen starts what it comes to."""

    BINDINGS: ClassVar[list[BindingType]] = [
        _START,
        Binding(
            "right,space",
            "turn(1)",
            "change",
            key_display="arrows",
            tooltip="A weight by 0.1, a choice by one: left, right",
        ),
        Binding("left", "turn(-1)", "change back", show=False),
        Binding("enter", "edit_here", show=False),
        Binding("plus", "add", "add", key_display="+", tooltip="Another adapter too"),
        Binding("x,delete", "remove", "remove", tooltip="Leave out the adapter at the cursor"),
        Binding("q,escape", "screen.back", "back", key_display="q"),
        Binding("m", "edit('method')", "method", tooltip="How several become one"),
        Binding("w", "weight", "weight", tooltip="How much of the adapter at the cursor"),
        Binding("d", "edit('dtype')", "format", tooltip="In which number format it is written"),
        Binding("o", "edit('out')", "folder", tooltip="In which folder it is written"),
    ]

    class Changed(Message):
        """There is another draft, or something new is known of it."""

    class Looked(Message):
        """What follows from a draft."""

        def __init__(self, outlook: Outlook) -> None:
            super().__init__()
            self.outlook = outlook

    def __init__(self, members: Sequence[Member], *, id: str) -> None:
        """All of `members`, alike."""
        super().__init__(id=id)
        self.draft = Draft.of(members)
        self.seen: Outlook | None = None
        self._has_chosen_method = False
        self._wanted: Latest[tuple[Draft, int]] = Latest((self.draft, 0))

    def compose(self) -> ComposeResult:
        yield Painting(id="head")
        yield MergeList()
        yield Paper(id="follows")

    def on_mount(self) -> None:
        """Begin to look."""
        self.watch_draft()

    def on_unmount(self) -> None:
        """Let the thread go."""
        self._wanted.set()

    # --- showing -------------------------------------------------------------------------------

    @property
    def outlook(self) -> Outlook | None:
        """What is known of the draft as it is now; `seen` may be about the one before it."""
        return self.seen if self.seen and self.seen.draft == self.draft else None

    def take(self, draft: Draft) -> None:
        """Go on with another draft."""
        if draft != self.draft:
            self.draft = draft
            self.lay_out()
            self.look()

    def look(self) -> None:
        """Look at the draft, though it may be the same: files may have changed."""
        self._wanted.want((self.draft, self._wanted.value[1] + 1))

    @work(thread=True, exit_on_error=False, group="follow")
    def watch_draft(self) -> None:
        """Say what follows from the latest draft; headers of big files take a moment to read."""
        wanted = self._wanted
        while not wanted.is_set():
            now = wanted.value
            self.post_message(self.Looked(look_at(now[0])))
            while not wanted.is_set() and wanted.value == now:
                wanted.wait()

    @on(Looked)
    def take_outlook(self, event: Looked) -> None:
        """Show it, if it is of the draft as it is now; a method that nobody chose has to fit."""
        if event.outlook.draft == self.draft and event.outlook != self.seen:
            self.seen = event.outlook
            self.lay_out()
            if not self._has_chosen_method:
                self.take(self.draft.with_value("method", event.outlook.fitting))

    @on(Paper.Room)
    def lay_out(self) -> None:
        """Draw what stands now."""
        paper, base = self.query_one("#follows", Paper), self.draft.plan.members[0].base
        width = paper.size.width - 1
        self.border_title = Content(cut(f"Merge into {base}", self.size.width - 6))
        self.query_one("#head", Painting).paint((merge_words.head(self.draft, width - 1),))
        self.query_one(MergeList).show(merge_words.lines(self.draft, self.seen))
        paper.show(merge_words.follows(self.seen, width))
        self.post_message(self.Changed())

    # --- keys ----------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action in {"remove", "weight"}:
            return self.draft.has_weights and self._place is not None
        if action == "turn":
            return self.draft.can_turn(self._key)
        return self.draft.has_weights or parameters != ("method",)

    @property
    def _key(self) -> str:
        """The line at the cursor."""
        return self.query_one(MergeList).chosen or self.draft.keys[0]

    @property
    def _place(self) -> int | None:
        """The adapter at the cursor."""
        return self.draft.place_of(self._key)

    @on(OptionList.OptionHighlighted)
    def show_keys(self) -> None:
        """Other keys do something on another line."""
        self.refresh_bindings()

    def action_turn(self, by: int) -> None:
        self._has_chosen_method |= self._key == "method"
        self.take(self.draft.turned(self._key, by))

    @on(OptionList.OptionSelected)
    def action_edit_here(self) -> None:
        """Ask for another value of the line at the cursor."""
        self.action_edit(self._key)

    def action_weight(self) -> None:
        self.action_edit(self._key)

    @asks
    async def action_edit(self, key: str) -> None:
        changed = await merge_asking.edit(self.app, self.draft, key)
        self._has_chosen_method |= key == "method" and changed is not None
        self._change(changed)

    @asks
    async def action_add(self) -> None:
        self._change(await merge_asking.add(self.app, self.draft))

    def _change(self, changed: Draft | None) -> None:
        if changed is not None:
            self.take(changed)

    def action_remove(self) -> None:
        self.take(self.draft.without(cast("int", self._place)))
