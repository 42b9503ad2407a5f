"""The verb that writes adapters into their base."""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from lora_tui.cli_reports import made
from lora_tui.console import DONE, FAILED, as_json, print_json, run_ids, say
from lora_tui.core import locations, proof_figures, runs, text
from lora_tui.core.errors import BadInput
from lora_tui.core.members import of_reference
from lora_tui.core.merging import DTYPES, METHODS, Folding, MergePlan, Merging, read
from lora_tui.core.proofs import Proof
from lora_tui.core.text import one_line
from lora_tui.jobs import merge as merging


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, shell_complete=run_ids)
@click.option("--weights", metavar="W,W", help="One for each RUN; else all alike, adding up to 1.")
@click.option(
    "--method", default="linear", show_default=True, metavar="|".join(METHODS), help="For several."
)
@click.option("--density", default=0.5, show_default=True, help="Share that ties and dare keep.")
@click.option("--rank", default=0, help="Of the result of svd; 0 for the largest.")
@click.option("--seed", default=0, help="Of what dare drops.")
@click.option("--dtype", default="auto", metavar="|".join(DTYPES), help="auto: the base's own.")
@click.option("--rows", default=64, type=click.IntRange(1), help="Most rows to measure on.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Where it is written.")
@click.option("--list", "listed", is_flag=True, help="List what was merged.")
@as_json
def merge(
    names: Sequence[str],
    weights: str | None,
    out: Path | None,
    *,
    listed: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Write the adapter of RUN into its base, or several adapters with weights, and prove it.

    RUN can also be the folder or the Hub id of an adapter made elsewhere. Ctrl+C stops it,
    and leaves nothing. Exit status 1 when what was written is not proven to be the same model.
    """
    if listed:
        _list(as_json=as_json)
        return
    if not names:
        raise BadInput("There is nothing to merge.", "Name a run: `lora-tui runs` lists them.")
    _only_for_several(names)
    plan = MergePlan(
        members=tuple(of_reference(name) for name in names),
        weights=_weights(weights, len(names)),
        **settings,
    )
    run = merging.start(plan, out)
    if place := merging.replaced(run):
        say(f"what was merged before into {place} is replaced when this is done", err=True)
    found = made(run, Folding())
    if as_json:
        print_json(found.document())
    else:
        for line in _lines(found):
            say(line)
    sys.exit(DONE if found.proof and found.proof.passed else FAILED)


def _only_for_several(names: Sequence[str]) -> None:
    """Make sure that no setting is passed over.

    Raises:
        BadInput: one adapter is named, and a setting that says how several become one.
    """
    context = click.get_current_context()
    typed = [
        f"--{name}"
        for name in ("method", "density", "rank", "seed")
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if typed and len(names) == 1:
        raise BadInput(f"{', '.join(typed)}: for several adapters.", "Leave out, or name more.")


def _list(*, as_json: bool) -> None:
    """Every merge that has a folder of its own, newest first."""
    found = [(run, read(run)) for run in runs.list_runs(locations.merges_folder())]
    if as_json:
        print_json([{"id": run.id, **merge.document()} for run, merge in found])
        return
    for run, merge in found:
        parts = zip(merge.weights, merge.members, strict=False)
        of = " + ".join(f"{text.number(weight)} {one_line(one.name)}" for weight, one in parts)
        verdict = merge.proof.verdict.upper() if merge.proof else merge.ended or "unfinished"
        say(f"{run.id}  {verdict}  {merge.method} {of}")


def _weights(typed: str | None, number: int) -> tuple[float, ...]:
    if typed is None:
        return (1 / number,) * number
    try:
        return tuple(float(part) for part in typed.split(","))
    except ValueError as error:
        raise BadInput(
            f'--weights "{typed}" are no numbers.', "Write one for each run, as 0.7,0.3."
        ) from error


def _lines(found: Merging) -> Iterable[str]:
    """The merge for people."""
    for id_, loss in found.scores.items():
        name = next((one.name for one in found.members if one.id == id_), id_)
        yield f"held-out loss  {text.number(loss):>7}  {one_line(name)}"
    if found.held_out.get("source"):
        rows, tokens = (found.held_out.get(name) or 0 for name in ("rows", "tokens"))
        yield f"measured on    {rows:,} rows of {found.held_out['source']}, {tokens:,} tokens"
    for warning in found.warnings:
        yield f"! {warning}"
    if found.proof:
        yield from proof_lines(found.proof)
        yield f"  {found.proof_of}"
    yield f"{text.size(found.written.get('bytes'))} in {found.path}"


def proof_lines(proof: Proof) -> Iterable[str]:
    """A proof for people: its verdict, each figure beside its limit, and why it did not pass."""
    yield f"proof: {proof.verdict.upper()}"
    yield from (f"  ! {reason}" for reason in proof.reasons)
    for one in proof_figures.figures(proof):
        mark = " " if one.is_good else "!"
        yield f"  {mark} {one.words:<30} {one.said:>9}  {one.limit}".rstrip()


VERBS = (merge,)
