"""The two halves of the data screen: the report, and one row at a time."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from lora_tui.tui import data_words, row_text
from lora_tui.tui.data_frames import Frame, RowShown
from lora_tui.tui.widgets.painting import Painting
from lora_tui.tui.widgets.paper import Paper

_LEAST_BARS, _MOST_BARS = 7, 20
_LOW = 12
_STYLES = {
    "trained": "bold $text-primary",
    "text": "$foreground-muted",
    "lost": "$foreground-muted strike",
}


class FiguresPane(Vertical):
    """What was found, in words, and below them how long the rows are."""

    HELP = "What was found. The bars are rows by their length; the line is where they are cut."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,shift+tab", "screen.other_half", "rows", key_display="tab", tooltip="The rows")
    ]

    def compose(self) -> ComposeResult:
        yield Paper(id="facts")
        yield Painting(id="lengths")

    def show(self, frame: Frame, changes: data_words.Changes) -> tuple[int, int]:
        """Show the words; the width of the bars, and their height: what the words leave."""
        size = self.content_size
        width = size.width - 1  # the last column is the scroll bar's
        rows = data_words.figures(frame, changes, width)
        self.query_one("#facts", Paper).show(rows)
        bars = self.query_one("#lengths", Painting)
        bars.paint(frame.picture)
        has_bars = frame.findings is not None and any(frame.findings.lengths.counts)
        bars.display = has_bars and size.height >= _LOW
        height = min(max(_LEAST_BARS, size.height - len(rows) - 1), _MOST_BARS)
        bars.styles.height = height
        return width, height if bars.display else 0


class RowPane(Vertical):
    """One row: which it is, what is odd about it, and its text."""

    HELP = "A row as it is trained on, or as it came. What stands in it is shown as text."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "tab,shift+tab", "screen.other_half", "figures", key_display="tab", tooltip="The report"
        )
    ]
    _row: RowShown | None = None

    def compose(self) -> ComposeResult:
        yield Painting(id="head")
        yield Paper(id="text")

    @property
    def text_width(self) -> int:
        """The cells for the text of a row, without the scroll bar's."""
        return self.content_size.width - 1

    def show(self, row: RowShown | None) -> None:
        """Show a row; from its first line on, if it is another."""
        before, self._row = self._row, row
        self.query_one("#head", Painting).paint((row.head, row.notes) if row else ())
        is_another = row is None or before is None or row.key != before.key
        self.query_one("#text", Paper).show(row.text if row else (), at_top=is_another)
        marks = row_text.legend() if row and not row.is_raw else (("as it came", "text"),)
        self.border_subtitle = Content.assemble(
            *((text, _STYLES[role]) for text, role in (marks if row else ()))
        )
