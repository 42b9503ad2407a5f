"""The keys of the export screen: what each does, and when it can."""

from textual.binding import Binding, BindingType

from lora_tui.tui import export_words as words
from lora_tui.tui.export_offer import Choice, Offer

_BACK = "Leave; what is being exported goes on, and e opens it again"

KEYS: list[BindingType] = [
    Binding("x", "export(False)", "export", tooltip="Write and prove what is ticked"),
    Binding("space", "tick", "tick", tooltip="Write this type, or leave it out"),
    Binding("enter", "look", "look", tooltip="All that is known of it: figures, answers"),
    Binding("s", "stop", "stop", tooltip="End it; files that are whole are kept"),
    Binding("r", "export(True)", "anew", tooltip="Also what was made and proven before"),
    Binding("y", "copy", "copy", tooltip="A path, or what to type to use the files"),
    Binding("w", "warnings", "warnings", tooltip="What has to be said of the export"),
    Binding("q,escape", "back", "back", key_display="q", tooltip=_BACK),
    Binding("a", "usual", "usual", tooltip="Tick the usual types, or none"),
    Binding("o", "ask_folder", "folder", tooltip="Where the files go"),
    Binding("g", "open_log", "log", tooltip="What the engine printed"),
]
"""The most needed first: a narrow terminal shows only these."""


def can(
    action: str, parameters: tuple[object, ...], offer: Offer, choice: Choice, frame: words.Now
) -> bool:
    """Whether an action makes sense as things stand."""
    is_live = words.is_live(frame)
    if action == "export" and parameters[0]:
        return not is_live and bool(choice.quants & offer.made.keys())
    if action in {"export", "tick", "usual", "ask_folder"}:
        return not is_live and bool(offer.kinds)
    if action == "stop":
        return frame is not None and is_live and frame.run is not None
    if action == "warnings":
        return frame is not None and bool(frame.now.warnings)
    if action == "open_log":
        return frame is not None and frame.run is not None
    return True
