"""One page of a comparison: what stands on top stays, what is below it scrolls."""

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from lora_tui.tui.compare_words import PANES
from lora_tui.tui.widgets.painting import Painting, Rows
from lora_tui.tui.widgets.paper import Paper


class AnswerPaper(Paper):
    """Paper on which words can be marked as new."""

    COMPONENT_CLASSES = {"paper--new"}
    DEFAULT_CSS = """
    AnswerPaper > .paper--new { color: $text-primary; text-style: underline; }
    """


class ComparePage(Vertical):
    """The pane that is looked at; its border says which there are."""

    _pane = ""

    def compose(self) -> ComposeResult:
        yield Painting(id="head")
        yield AnswerPaper(id="page")

    @property
    def room(self) -> tuple[int, int]:
        """The cells for text, without the scroll bar's."""
        return max(0, self.content_size.width - 1), self.content_size.height

    def show(self, head: Rows, page: Rows, pane: str, *, at_top: bool) -> None:
        """Show a page, from its first line on if it is another."""
        painting = self.query_one("#head", Painting)
        painting.styles.height = len(head)
        painting.display = bool(head)
        painting.paint(head)
        self.query_one("#page", AnswerPaper).show(page, at_top=at_top)
        if pane != self._pane:
            self._pane = pane
            self.border_title = Content(" ").join(
                Content.assemble((f"[{name}]", "bold") if name == pane else (name, _MUTED))
                for name in PANES
            )


_MUTED = "$foreground-muted"
