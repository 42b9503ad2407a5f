"""What Home's workers tell it: the runs and the presets as they are now."""

from textual.message import Message

from lora_tui.core.overview import Board
from lora_tui.tui.widgets.preset_list import PresetRow


class Seen(Message):
    """The runs; of several boards that wait only the latest is shown."""

    def __init__(self, board: Board) -> None:
        super().__init__()
        self.board = board

    def can_replace(self, message: Message) -> bool:
        return isinstance(message, Seen)


class PresetsRead(Message):
    """The presets."""

    def __init__(self, rows: tuple[PresetRow, ...]) -> None:
        super().__init__()
        self.rows = rows
