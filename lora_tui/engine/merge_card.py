"""The model card of a merged model: what it was made of, and its proof."""

import json
from collections.abc import Iterator
from typing import Any

from lora_tui.core import locations, text
from lora_tui.core.events import figure
from lora_tui.core.merging import Merging
from lora_tui.core.presets import is_demo
from lora_tui.engine import machine


def model_card(made: Merging) -> str:
    """The README.md of a merged model."""
    base = made.members[0].base
    lines = ["library_name: transformers", "pipeline_tag: text-generation"]
    if not is_demo(base) and locations.local_path(base) is None and locations.is_hub_id(base):
        lines += [f"base_model: {json.dumps(base)}", "base_model_relation: merge"]
    parts = [
        "\n".join(["---", *lines, "tags:", "- lora-tui", "- merge", "---"]),
        f"# {text.one_line(base)}, merged with {_quoted(made)}",
        _table([("adapter", "weight", "held-out loss"), *_members(made)]),
        _method(made),
        _proof(made),
        "## Use\n\n```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        'model = AutoModelForCausalLM.from_pretrained("PATH", dtype="auto")\n'
        'tokenizer = AutoTokenizer.from_pretrained("PATH")\n```',
        "## Versions\n\n"
        + ", ".join(f"{name} {number}" for name, number in machine.versions().items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _quoted(made: Merging) -> str:
    return ", ".join(f"`{text.one_line(member.name)}`" for member in made.members)


def _members(made: Merging) -> Iterator[tuple[str, str, str]]:
    yield "the base alone", "", text.number(made.scores.get("base"))
    for member, weight in zip(made.members, made.weights, strict=True):
        score = text.number(made.scores.get(member.id))
        yield text.one_line(member.name), text.number(weight), score
    yield "**merged**", "", text.number(made.scores.get("merged"))


def _method(made: Merging) -> str:
    said = f"Written as {made.written['dtype']}."
    if made.method:
        said = (
            f"Combined by `{made.method}`; the adapter that this made is in `adapter/`, for the "
            f"base alone. {said}"
        )
    return f"{said} Made by lora-tui."


def _proof(made: Merging) -> str:
    proof = made.proof
    if proof is None:
        return ""
    said = f"**{proof.verdict.upper()}**. {made.proof_of}"
    reasons = "\n".join(f"- {text.one_line(reason)}" for reason in proof.reasons)
    rows = [
        (name.replace("_", " "), _number(value), text.number(proof.limit.get(name)))
        for name, value in proof.figures.items()
        if not isinstance(value, bool)
    ]
    table = _table([("", "found", "limit"), *rows])
    return "\n\n".join(part for part in ("## Proof", said, reasons, table) if part)


def _number(value: Any) -> str:
    """A figure as it is, or as JSON holds one that is not finite."""
    return text.number(value if isinstance(value, int) else figure(value))


def _table(rows: list[tuple[str, str, str]]) -> str:
    head, *rest = (f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    return "\n".join([head, "|---|---:|---:|", *rest])
