"""How several adapters become one."""

from lora_tui.tui.screens.choose import Choose


class ChooseMethod(Choose):
    """Wider than other choices, so that what each method does has room."""

    CSS_PATH = ["dialog.tcss", "merge.tcss"]
