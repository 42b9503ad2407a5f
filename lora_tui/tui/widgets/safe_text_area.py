"""A text area that shows nothing a terminal would obey."""

from rich.text import Text
from textual.widgets import TextArea

from lora_tui.core.text import printable


class SafeTextArea(TextArea):
    """The text stays as it was typed or pasted; only what is drawn of it is made safe."""

    def get_line(self, line_index: int) -> Text:
        """A line to be drawn: what a terminal would obey is not shown as it is."""
        line = super().get_line(line_index)
        if line.plain.isprintable():
            return line
        return Text(printable(line.plain).replace("\n", " "), end="", no_wrap=True)
