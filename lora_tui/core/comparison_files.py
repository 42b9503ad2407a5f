"""A comparison on disk: its folder, its JSON and its Markdown."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_tui.core import comparison_advice, comparison_table, text
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.events import finite
from lora_tui.core.files import write_atomically

JSON, MARKDOWN = "comparison.json", "comparison.md"


def write(comparison: Comparison, folder: Path, found: Mapping[str, Any] | None = None) -> None:
    """Write both files into `folder`; `found` is the document, where it was made already.

    Raises:
        OSError: the disk did not take them.
    """
    found = found or document(comparison, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / JSON, json.dumps(finite(found), ensure_ascii=False, indent=1))
    write_atomically(folder / MARKDOWN, markdown(comparison))


def document(comparison: Comparison, path: str, *, with_base: bool = True) -> dict[str, Any]:
    """As `compare --json` prints it; without the base, `runs` are those that were named."""
    bases = [column for column in comparison.columns if column.is_base]
    shown = [column for column in comparison.columns if with_base or not column.is_base]
    names = ("source", "rows", "tokens", "left_out")
    ids = [column.member.id for column in comparison.columns]
    return {
        "base": bases[0].member.base if bases else None,
        "bases": {column.member.id: column.member.base for column in bases},
        "held_out": {name: comparison.held_out.get(name) for name in names},
        "settings": dict(comparison.settings),
        "device": comparison.started.get("device"),
        "dtype": comparison.dtype or None,
        "differences": {
            line.name: dict(zip(ids, line.cells, strict=True))
            for line in comparison_table.differences(comparison)
        },
        "runs": [_run(comparison, column) for column in shown],
        "prompts": [
            {
                "prompt": prompt.text,
                "outputs": {
                    one.member.id: prompt.outputs[one.member.id]
                    for one in shown
                    if one.member.id in prompt.outputs
                },
                "changed": sorted(prompt.changed),
            }
            for prompt in comparison.prompts
        ],
        "summary": comparison_table.summary(comparison),
        "warnings": list(comparison.warnings),
        "path": path,
    }


def _run(comparison: Comparison, column: Column) -> dict[str, Any]:
    measured: Mapping[str, Any] = {
        name: column.figure(name)
        for name in ("held_out_loss", "perplexity", "kl_from_base", "changed_share")
    }
    shown = {name: value for name, value in column.show.items() if name not in {"id", "warnings"}}
    figures = {name: value for name, value in column.figures.items() if name != "scores"}
    return {
        "id": column.member.id,
        "name": column.member.name,
        "method": column.member.method,
        "base": column.member.base,
        **shown,
        **measured,
        **{name: value for name, value in figures.items() if name not in shown},
        "trainable_share": comparison_table.share(comparison, column),
        "merged_bytes": comparison_table.merged_size(comparison, column),
        "held_out_scores": column.figure("scores"),  # `scores` are those the run itself measured
        **_advice(comparison, column),
        "gain_of_full": comparison_table.gain(comparison, column),
        "equals_base": not column.is_base and comparison_table.equals_base(column),
        "refused": dict(column.refused) or None,
        "warnings": comparison_table.notes(comparison, column),
    }


def _advice(comparison: Comparison, column: Column) -> dict[str, Any]:
    """What to advise on a run beside the others, in place of what is advised on it alone."""
    try:
        _, found = comparison_advice.advices(comparison, column)
    except LoraTuiError:  # made elsewhere, or deleted since
        return {}
    return {"advice": [one.document() for one in found]}


def markdown(comparison: Comparison) -> str:
    """The comparison to read and to pass on."""
    columns = comparison.columns
    names = [_cell(column.member.name) for column in columns]
    parts = ["# Comparison"]
    if sentences := comparison_table.summary(comparison):
        parts.append("\n".join(f"- {_cell(sentence)}" for sentence in sentences))
    for title, lines in (
        ("What differs", comparison_table.differences(comparison)),
        ("Cost and result", comparison_table.table(comparison)),
    ):
        if lines:
            head = f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}"
            rows = [f"| {line.name} | {' | '.join(_cells(line))} |" for line in lines]
            parts.append(f"## {title}\n\n{head}\n" + "\n".join(rows))
    notes = [
        f"- **{_cell(column.member.name)}**: {_cell(note)}"
        for column in columns
        for note in comparison_table.notes(comparison, column)
    ]
    notes += [f"- {_cell(warning)}" for warning in comparison.warnings]
    if notes:
        parts.append("## Notes\n\n" + "\n".join(notes))
    if comparison.held_out.get("rows"):
        parts.append(
            f"Held-out loss: {comparison.held_out['rows']:,} rows of "
            f"{_cell(str(comparison.held_out.get('source')))}, on none of which any run trained."
        )
    for number, prompt in enumerate(comparison.prompts, 1):
        answers = [
            f"**{_cell(column.member.name)}**"
            + (" (not the base's)" if column.member.id in prompt.changed else "")
            + f"\n\n{_block(prompt.outputs[column.member.id])}"
            for column in columns
            if column.member.id in prompt.outputs
        ]
        parts.append(f"## Prompt {number}\n\n{_block(prompt.text)}\n\n" + "\n\n".join(answers))
    return "\n\n".join(parts) + "\n"


def _cells(line: comparison_table.Line) -> list[str]:
    return [
        f"**{_cell(cell)}**" if at in line.best else _cell(cell)
        for at, cell in enumerate(line.cells)
    ]


def _cell(words: str) -> str:
    """Text of any origin on one line of a table."""
    return text.one_line(words).replace("|", "\\|")


def _block(words: str) -> str:
    """Text of any origin as it stands: a fence longer than any in it."""
    fence = "```"
    while fence in words:
        fence += "`"
    return f"{fence}text\n{text.printable(words)}\n{fence}"
