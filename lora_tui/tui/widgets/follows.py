"""What follows from the settings: figures in a column where there is room, else in three lines."""

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from lora_tui.core.text import one_line
from lora_tui.tui.columns import Part, cut, dot, left, right
from lora_tui.tui.forecast import Forecast

_LABEL = 14


class Follows(Widget):
    """Facts as (label, value), in groups; the parts of the memory only where there is room."""

    forecast: reactive[Forecast] = reactive(Forecast())
    is_column: reactive[bool] = reactive(False)

    def render(self) -> Content:
        width, shown = self.content_size.width, self.forecast
        apology = [Content(one_line(shown.apology)).stylize("$foreground-muted")]
        apology *= bool(shown.apology)
        groups = (shown.sizes, shown.steps, shown.costs)
        if self.is_column:
            stacked = [
                [*apology],
                *([_aligned(*fact, width) for fact in facts] for facts in groups),
            ]
            stacked.append([_aligned(f"  {name}", size, width) for name, size in shown.parts])
            lines = [line for group in stacked if group for line in (*group, Content(""))]
            return Content("\n").join(lines)
        joined = [
            Content(cut(dot().join(f"{label} {value}" for label, value in facts), width))
            for facts in groups
            if facts
        ]
        return Content("\n").join([*apology, *joined])


def _aligned(label: str, value: str, width: int) -> Content:
    parts: list[Part] = [
        (left(label, _LABEL), "$foreground-muted"),
        (right(value, max(1, width - _LABEL)), "$foreground"),
    ]
    return Content.assemble(*parts)
