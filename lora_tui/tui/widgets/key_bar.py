"""The last line of every screen: what the keys do now, as many as fit, `? help` among them."""

from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget

from lora_tui.tui.columns import width_of

_NAMES = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "delete": "del",
    "pageup": "page up",
    "pagedown": "page down",
}


def key_name(binding: Binding) -> str:
    """The key as one says it: `?`, `esc`, `ctrl+s`."""
    return binding.key_display or _NAMES.get(binding.key, binding.key)


class KeyBar(Widget):
    """Reads the bindings that are active and meant to be shown.

    Textual's own footer scrolls what has no room; here nothing is ever cut in the middle.
    """

    DEFAULT_CSS = """
    KeyBar { height: 1; padding: 0 1; dock: bottom; text-wrap: nowrap; }
    """

    keys: reactive[tuple[tuple[str, str], ...]] = reactive(())

    def on_mount(self) -> None:
        """Follow focus and what is allowed."""
        self.screen.bindings_updated_signal.subscribe(self, self._ask)
        self._ask(self.screen)

    def _ask(self, screen: Screen[object]) -> None:
        """Ask for the keys; below a dialogue they stay as they were."""
        if not screen.is_active:
            return
        shown: dict[str, tuple[str, str]] = {}
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.show and active.enabled:
                shown.setdefault(binding.action, (key_name(binding), binding.description))
        self.keys = tuple(shown.values())

    def render(self) -> Content:
        fitting = _fitting(list(self.keys), self.content_size.width)
        parts = [
            Content.assemble((key, "bold $text-primary"), (f" {word}", "$foreground-muted"))
            for key, word in fitting
        ]
        return Content("  ").join(parts)


def _fitting(keys: list[tuple[str, str]], room: int) -> list[tuple[str, str]]:
    """The first keys and always the last, in `room` cells."""
    widths = [width_of(key) + 1 + width_of(word) + 2 for key, word in keys]
    if not keys or sum(widths) - 2 <= room:
        return keys
    fitting, used = [], widths[-1] - 2
    for pair, width in zip(keys[:-1], widths[:-1], strict=True):
        if used + width > room:
            break
        fitting.append(pair)
        used += width
    return [*fitting, keys[-1]]
