"""All advice at once: what about, in words, by whose word, and what would be changed."""

from collections.abc import Iterable, Sequence

from textual import on
from textual.binding import Binding, BindingsMap
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static

from lora_tui.core.advice import Advice
from lora_tui.tui import advice_words
from lora_tui.tui.columns import Part, left, plain
from lora_tui.tui.screens.dialog import HELP_KEY, Dialog
from lora_tui.tui.widgets.row_list import PlainRow, RowList

_NAME = 20


class AdviceList(Dialog[Advice]):
    """Answers the advice whose remedy is wanted; nothing is changed here."""

    CSS_PATH = ["dialog.tcss", "advice.tcss"]
    AUTO_FOCUS = "RowList"
    HELP = """What experience says of this preset or run. Each piece of advice names its source and
        a change of the preset that would help; enter takes that. Nothing is blocked by advice, and
        a rule whose facts are not known does not speak. All rules are listed below."""
    HELP_ROWS = advice_words.RULES_FOR_HELP

    def __init__(self, advices: Sequence[Advice], does: str) -> None:
        """Advices in their order; `does` says what enter does with one."""
        super().__init__("Advice" if advices else "Nothing to advise")
        self._advices = advices
        self._bindings = BindingsMap(
            [
                Binding("enter", "take", does, priority=True),
                Binding("space,right", "scroll(5)", "more", key_display="space"),
                Binding("left", "scroll(-5)", "before", show=False),
                Binding("escape,q", "leave", "back", key_display="esc"),
                HELP_KEY,
            ]
        )

    def compose_inside(self) -> Iterable[Widget]:
        if self._advices:
            yield RowList()
            with VerticalScroll(id="said", can_focus=False):
                yield Static(id="words")
        else:
            yield Static(Content(advice_words.NOTHING), id="text")

    def on_mount(self) -> None:
        """Fill the list."""
        self.query_one("#box").set_class(bool(self._advices), "-full")
        if self._advices:
            rows = [PlainRow(str(at), _row(one)) for at, one in enumerate(self._advices)]
            self.query_one(RowList).show(rows)
            self.query_one(RowList).highlighted = 0
            # Whether there is more than has room is known only once it is laid out.
            self.watch(self.query_one("#said"), "virtual_size", self.refresh_bindings, init=False)

    @property
    def _chosen(self) -> Advice | None:
        key = self.query_one(RowList).chosen if self._advices else None
        return self._advices[int(key)] if key is not None else None

    @on(OptionList.OptionHighlighted)
    def say(self) -> None:
        """Say all of the advice at the cursor."""
        if self._chosen is not None:
            self.query_one("#words", Static).update(_words(self._chosen))
            self.query_one("#said").scroll_home(animate=False)
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what can be done now."""
        if action == "take":
            return self._chosen is not None and bool(self._chosen.changes)
        if action == "scroll":
            return bool(self._advices) and self.query_one("#said").max_scroll_y > 0
        return True

    def action_take(self) -> None:
        self.dismiss(self._chosen)

    def action_scroll(self, lines: int) -> None:
        self.query_one("#said").scroll_relative(y=lines, animate=False)


def _row(advice: Advice) -> Content:
    changes = ", ".join(advice_words.changes(advice))
    return Content.assemble(left(advice.rule, _NAME), (plain(changes), "$foreground-muted"))


def _words(advice: Advice) -> Content:
    changes = advice_words.changes(advice) or ["nothing in the preset"]
    parts: list[Part] = [
        (plain(advice.text), ""),
        ("\n\nsource  ", "$foreground-muted"),
        (plain(advice.source), ""),
        ("\nchange  ", "$foreground-muted"),
        (plain("\n        ".join(changes)), "bold" if advice.changes else "$foreground-muted"),
    ]
    return Content.assemble(*parts)
