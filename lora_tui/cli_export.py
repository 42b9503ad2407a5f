"""The verb that writes GGUF files, and proves each."""

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

import click

from lora_tui.cli_merge import proof_lines
from lora_tui.cli_reports import made
from lora_tui.console import DONE, FAILED, as_json, print_json, run_ids, say
from lora_tui.core import text
from lora_tui.core.exporting import LORA, Exporting, ExportPlan, Folding
from lora_tui.core.members import BASE, of_source
from lora_tui.core.text import one_line
from lora_tui.jobs import export as exporting


@click.command()
@click.argument("run", metavar="RUN", shell_complete=run_ids)
@click.option(
    "--quant",
    "quants",
    default="f16,q8_0,q4_k_m",
    show_default=True,
    metavar="TYPE,TYPE",
    help="llama.cpp's types.",
)
@click.option("--lora", is_flag=True, help="Also the adapter alone, to be loaded beside its base.")
@click.option("--rows", default=200, type=click.IntRange(1), help="Most rows a proof measures on.")
@click.option("--again", is_flag=True, help="Also what was exported and proven before.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where the files go.")
@as_json
def export(
    run: str, quants: str, rows: int, out: Path | None, *, lora: bool, again: bool, as_json: bool
) -> None:
    """Write RUN's result as GGUF files, and prove each with llama.cpp itself.

    RUN can also be a merge, or the folder or the Hub id of an adapter or a model. Ctrl+C stops it:
    whole files are kept, and the same command goes on. Exit status 1 when a file could not be made,
    or is not proven.
    """
    member = of_source(run)
    say(f"{one_line(member.name)}: {_KINDS[member.method]} of {one_line(member.base)}", err=True)
    folder = (out.expanduser() if out else exporting.folder_of(member)).absolute()
    plan = ExportPlan(
        member=member, quants=_types(quants, lora), folder=str(folder), rows=rows, again=again
    )
    found = made(exporting.start(plan), Folding())
    if as_json:
        print_json(found.document())
    else:
        for line in _lines(found):
            say(line)
    sys.exit(DONE if all(one.proof and one.proof.passed for one in found.files) else FAILED)


_KINDS = {"lora": "the adapter", "full": "the model that was trained", BASE: "the model itself,"}


def _types(quants: str, lora: bool) -> tuple[str, ...]:
    names = [name.strip().lower() for name in quants.split(",") if name.strip()]
    return tuple(dict.fromkeys([*names, *([LORA] if lora else [])]))


def _lines(found: Exporting) -> Iterable[str]:
    """The export for people."""
    for one in found.files:
        kept = ", made and proven before" if one.state == "kept" else ""
        if one.refused:
            yield f"{one.quant}: refused. {one.refused['summary']} {one.refused['hint']}".rstrip()
            continue
        types = ", ".join(f"{name} {number}" for name, number in one.types.items())
        yield f"{one.quant}: {text.size(one.bytes)} in {one.path}{kept}"
        yield f"  tensors by type        {types}"
        if one.proof:
            yield from (f"  {line}" for line in proof_lines(one.proof))
    for warning in found.warnings:
        yield f"! {warning}"
    if found.modelfile:
        yield f"Ollama:    ollama create NAME -f {shlex.quote(found.modelfile)}"
    if found.command:
        yield f"llama.cpp: {found.command}"


VERBS = (export,)
