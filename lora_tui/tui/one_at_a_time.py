"""Keys may come in bursts over a slow line: what opens something opens it once."""

from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from textual.dom import DOMNode

from lora_tui.tui.typeahead import TypeAhead

BY_KEY = frozenset({"dialogue", "quit"})
"""Groups of workers that a key started, and that may wait for the user."""

Self = TypeVar("Self", bound=DOMNode)
P = ParamSpec("P")
Flow = Callable[Concatenate[Self, P], Coroutine[Any, Any, None]]


def asks(flow: Flow[Self, P]) -> Callable[Concatenate[Self, P], None]:
    """Run `flow`, which opens a dialogue or a form, in a worker, unless one is under way.

    An exclusive worker would not do: it cancels the one that waits and leaves its screen.
    """
    return _single(flow, "dialogue")


def asks_to_quit(flow: Flow[Self, P]) -> Callable[Concatenate[Self, P], None]:
    """The same for quitting, which has to work over any other dialogue."""
    return _single(flow, "quit")


def _single(flow: Flow[Self, P], group: str) -> Callable[Concatenate[Self, P], None]:
    @wraps(flow)
    def start(self: Self, /, *args: P.args, **kwargs: P.kwargs) -> None:
        app = self.app
        if any(one.group == group and not one.is_finished for one in app.workers):
            return

        async def asking() -> None:
            try:
                await flow(self, *args, **kwargs)
            finally:
                if isinstance(app, TypeAhead):
                    app.call_later(app.release_keys)

        if isinstance(app, TypeAhead):
            app.hold_keys()
        self.run_worker(asking(), group=group, exit_on_error=False)

    return start
