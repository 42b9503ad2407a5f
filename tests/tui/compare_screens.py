"""What the tests of the Compare screen share."""

from collections.abc import Sequence

import pytest

from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.compare_watching import CompareWatch, Frame
from lora_tui.tui.screens.compare import CompareScreen
from lora_tui.tui.wanting import Latest

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)


def page(screen: CompareScreen) -> str:
    """All of the page, and what stands on top of it."""
    return "\n".join(
        "".join(text for text, _ in row) for row in (*screen.frame.head, *screen.frame.page)
    )


def keys(screen: CompareScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


def frames(run: Run, who: Sequence[Member], *looks: Look) -> list[Frame]:
    """What the thread hands over, one look after the other, without a screen."""
    found: list[Frame] = []
    looking = Latest(looks[0])
    waiting = list(looks[1:])

    def take(frame: Frame) -> None:
        found.append(frame)
        if frame.state in {"running", "starting"} or frame.look != looking.value:
            return
        if waiting:
            looking.want(waiting.pop(0))
        else:
            looking.set()

    CompareWatch(who, run, looking, take).run()
    return found
