"""The curve in its frame: shows finished pictures, and says how much room there is."""

from textual import events
from textual.content import Content
from textual.message import Message

from lora_tui.tui.chart import TITLES, Options, Row, Rows, legend
from lora_tui.tui.columns import dash
from lora_tui.tui.look import ascii_only
from lora_tui.tui.widgets.painting import Painting

_COLOURS = {
    "muted": "$foreground-muted",
    "faint": "$primary 45%",
    "accent": "$primary",
    "strong": "bold $foreground",
}


class LossChart(Painting):
    """A chart drawn elsewhere; the title says which curve, the lower edge what its marks mean."""

    _words: tuple[str, Row, str] | None = None

    class Room(Message):
        """There are `width` by `height` cells for the picture now."""

        def __init__(self, width: int, height: int) -> None:
            super().__init__()
            self.width = width
            self.height = height

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LossChart.Room)

    def show(self, picture: Rows, options: Options, read: float | None, advice: str = "") -> None:
        """Show a finished picture; `read` is the share of its file read so far, if not all.

        `advice` says beside the title that there is some.
        """
        title = TITLES[options.curve] + (", log scale" if options.log else "")
        if read is not None:
            title += f"{dash()}reading {100 * read:.0f} %"
        marks = legend(options.curve, ascii_only=ascii_only())
        drawn = any(role == "accent" for row in picture for _, role in row)
        fits = sum(len(text) for text, _ in marks) + 8 < self.size.width
        words = (title, marks if drawn and fits else (), advice)
        if words != self._words:  # setting them repaints everything
            self._words = words
            hint = (f"  {advice}" if advice else "", "not bold $text-warning")
            self.border_title = Content.assemble(title, hint)
            self.border_subtitle = Content.assemble(
                *((text, _COLOURS[role]) for text, role in words[1])
            )
        self.paint(picture)

    def on_resize(self, event: events.Resize) -> None:
        """Ask for a picture of the new size."""
        self.post_message(self.Room(self.content_size.width, self.content_size.height))
