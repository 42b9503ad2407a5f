"""A run that is watched: what it tells, and waiting until its screen shows it."""

import math
import time
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

from lora_tui.core.runs import Run
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.watching import Frame
from lora_tui.tui.widgets.loss_chart import LossChart
from lora_tui.tui.widgets.metric_table import MetricTable

from .conftest import say, shown

SIZE = (80, 24)


def train(
    run: Run,
    last: int,
    *,
    first: int = 1,
    most: int = 500,
    loss: Callable[[int], Any] | None = None,
) -> None:
    """Events of a plausible run of `most` steps, from step `first` to step `last`."""
    if first == 1:
        say(
            run,
            4,
            "model",
            name="demo",
            trainable_parameters=4_884_480,
            total_parameters=134_515_008,
        )
        say(run, 5, "data", source="demo", rows=700, kept=700)
        say(run, 8, "eval", step=0, loss=2.71, scores={"pirate": 0.0})
    for step in range(first, last + 1):
        ideal = 1.2 + 1.5 * math.exp(-8 * step / most)
        say(
            run,
            10 + step / 2,
            "step",
            step=step,
            epoch=2 * step / most,
            loss=loss(step) if loss else ideal + math.sin(17.0 * step) / 8,
            learning_rate=2e-4 * (1 - step / most),
            grad_norm=0.9 + math.cos(step) / 5,
            tokens=7_660 * step,
            seconds=step / 2,
            memory_bytes=3_100_000_000,
        )
        if step % 50 == 0:
            scores = {"pirate": min(0.97, 1.4 * step / most)}
            say(run, 10 + step / 2, "eval", step=step, loss=round(ideal + 0.05, 4), scores=scores)
        if step % 100 == 0:
            say(run, 10 + step / 2, "checkpoint", step=step)


async def drawn(pilot: Pilot[Any], ready: Callable[[Frame], bool] = lambda frame: True) -> Frame:
    """Wait until a frame that is `ready` is on the screen, drawn for the room there is."""
    screen = pilot.app.screen_stack[1]
    assert isinstance(screen, TrainingScreen)
    deadline, calm = time.monotonic() + 180, 0
    while calm < 3:  # a notice that appears leaves the chart less room, and it is drawn once more
        await pilot.pause(0.01)
        frame, chart_ = screen.frame, screen.query_one(LossChart)
        fits = frame and (frame.options.width, frame.options.height) == chart_.content_size
        done = frame and frame.picture is not None and (fits or not chart_.display) and ready(frame)
        calm = calm + 1 if done and not screen._layout_required else 0
        assert time.monotonic() < deadline, f"not ready: {shown(pilot)}"
    assert frame is not None
    return frame


async def eventually(pilot: Pilot[Any], holds: Callable[[], bool]) -> None:
    """Wait for a worker or a message to have done its work."""
    deadline = time.monotonic() + 180
    while not holds():
        assert time.monotonic() < deadline, shown(pilot)
        await pilot.pause(0.01)


def figures(pilot: Pilot[Any]) -> str:
    return pilot.app.screen_stack[1].query_one(MetricTable).plain()
