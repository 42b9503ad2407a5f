"""The advice on a preset beside its form: what about and by whose word; a key tells the rest."""

from collections.abc import Sequence

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lora_tui.core.advice import Advice
from lora_tui.tui import advice_words
from lora_tui.tui.columns import cut

_MUTED = "$foreground-muted"
_FIGURES = 34  # lines of the screen that the form's figures need


class Hints(Widget):
    """Two lines for each piece of advice, for as many as the figures leave room."""

    DEFAULT_CSS = """
    Hints { height: 0; }
    """

    advices: reactive[Sequence[Advice]] = reactive((), always_update=True)

    def watch_advices(self) -> None:
        """Take the lines that are needed."""
        self.styles.height = len(self._lines())

    def render(self) -> Content:
        return Content("\n").join(self._lines())

    def _lines(self) -> list[Content]:
        if not self.advices:
            return []
        most = max(0, (self.screen.size.height - _FIGURES) // 2)
        width, more = self.content_size.width, len(self.advices) - most
        head = f"{advice_words.mark()} {advice_words.count(self.advices)}"
        lines = [Content.assemble((head, "$text-warning"), ("  v tells all", _MUTED))]
        for one in self.advices[:most]:
            lines.append(Content(cut(one.rule, width)))
            lines.append(Content.assemble((cut(one.source, width), _MUTED)))
        if most and more > 0:
            lines.append(Content.assemble((f"and {more} more", _MUTED)))
        return lines
