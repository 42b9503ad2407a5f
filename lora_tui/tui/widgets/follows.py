"""What follows from the settings: figures in a column where there is room, else in two lines."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lora_tui.core.consequences import Facts
from lora_tui.core.text import one_line
from lora_tui.tui.columns import Part, cut, dot, left, right

_LABEL = 14


class Follows(Widget):
    """Facts as (label, value); `apology` says why there are no sizes."""

    sizes: reactive[Facts] = reactive([])
    steps: reactive[Facts] = reactive([])
    apology: reactive[str] = reactive("")
    is_column: reactive[bool] = reactive(False)

    def render(self) -> Content:
        width = self.content_size.width
        apology = [Content(one_line(self.apology)).stylize("$foreground-muted")] * bool(
            self.apology
        )
        if self.is_column:
            lines = [_aligned(label, value, width) for label, value in (*self.sizes, *self.steps)]
            return Content("\n").join([*lines, Content(""), *apology])
        joined = [
            Content(cut(dot().join(f"{label} {value}" for label, value in facts), width))
            for facts in (self.sizes, self.steps)
            if facts
        ]
        return Content("\n").join([*apology, *joined])


def _aligned(label: str, value: str, width: int) -> Content:
    parts: list[Part] = [
        (left(label, _LABEL), "$foreground-muted"),
        (right(value, max(1, width - _LABEL)), "$foreground"),
    ]
    return Content.assemble(*parts)
