"""The line on top of every screen: where one is, and how the machine does."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lora_tui.core.text import one_line
from lora_tui.tui.columns import Part, ends


class TitleBar(Widget):
    """The program's name and the screen's on the left, facts about the machine on the right."""

    DEFAULT_CSS = """
    TitleBar { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    trail: reactive[tuple[str, ...]] = reactive(())
    facts: reactive[str] = reactive("")

    def __init__(self, *trail: str) -> None:
        """Name the screen; the home screen has no name beside the program's."""
        super().__init__()
        self.set_reactive(TitleBar.trail, trail)

    def on_mount(self) -> None:
        """Follow what the app finds out about the machine."""
        self.watch(self.app, "machine", self._set_facts)

    def _set_facts(self, facts: str) -> None:
        self.facts = facts

    def render(self) -> Content:
        start: list[Part] = [("lora-tui", "bold $text-primary")]
        styles = ("bold", "$foreground-muted", "$foreground-muted")
        start += [
            (f"  {one_line(part)}", style) for part, style in zip(self.trail, styles, strict=False)
        ]
        return ends(start, [(self.facts, "$foreground-muted")], self.content_size.width)
