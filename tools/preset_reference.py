"""Write docs/presets.md from the declarations in lora_tui/core/presets.py.

`python -m tools.preset_reference` writes it; a test holds it to the code.
"""

from pathlib import Path

from lora_tui.core import preset_files, presets
from lora_tui.core.settings import Knob, in_words, knobs_of

PAGE = Path(__file__).parent.parent / "docs" / "presets.md"

_INTRODUCTION = """# Presets

Written by `python -m tools.preset_reference`; do not edit.

A preset is a TOML file. Keys are PEFT's and TRL's own argument names, so what you know carries
over. Unknown keys, wrong types and values out of range are errors, all reported at once; nothing is
ever replaced by a default behind your back. Your own presets live in
`~/.local/share/lora-tui/presets/` (`$LORA_TUI_HOME/presets/`). On the command line any key is
`--set TABLE.KEY=VALUE`.
"""


def page() -> str:
    """The whole page."""
    tables = [
        f"## [{name}]\n\n{_rows(list(knobs_of(section, name)))}"
        for name, section in presets.TABLES.items()
    ]
    shipped = [entry for entry in preset_files.list_presets() if entry.shipped]
    names = [
        f"| `{entry.name}` | {getattr(entry.preset, 'description', '')} |" for entry in shipped
    ]
    listed = "\n".join(["## Shipped", "", "| preset | when to pick it |", "|---|---|", *names])
    return "\n\n".join([_INTRODUCTION.strip(), *tables, listed]) + "\n"


def _rows(knobs: list[Knob]) -> str:
    lines = ["| key | default | allowed | meaning |", "|---|---|---|---|"]
    for item in knobs:
        default = in_words(item.default) or "(empty)"
        lines.append(f"| `{item.name}` | {default} | {item.range} | {item.limits.help} |")
    return "\n".join(lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
