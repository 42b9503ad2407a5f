"""The verb that measures several results on the same rows."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import click

from lora_tui.cli_reports import followed, unfinished
from lora_tui.console import (
    DONE,
    FAILED,
    as_json,
    chosen_preset,
    print_json,
    run_ids,
    say,
    setting_options,
)
from lora_tui.core import (
    chat_settings,
    comparison_files,
    comparison_table,
    locations,
    prompts,
    references,
)
from lora_tui.core.comparison import Comparison, Folding, read
from lora_tui.core.comparison_table import Line
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import Member, of_reference
from lora_tui.core.runs import Run
from lora_tui.core.text import one_line
from lora_tui.jobs import compare as comparing
from lora_tui.jobs.compare import Asked

_WIDEST = 24


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, shell_complete=run_ids)
@click.option(
    "--prompts",
    "prompt_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What to ask: a prompt a line, or JSON Lines. Else held-out questions.",
)
@click.option("--with-base", is_flag=True, help="List the base among the runs.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write it here too.")
@click.option("--data", metavar="PRESET", help="Measure on this preset's held-out rows.")
@click.option("--number", default=8, type=click.IntRange(1, 1000), help="How many questions.")
@click.option("--rows", default=comparing.MOST_ROWS, type=click.IntRange(1), help="Most rows.")
@setting_options(max_new_tokens=64)
@click.option("--open", "earlier", metavar="COMPARISON", help="Show one made before, or `last`.")
@as_json
def compare(
    names: Sequence[str],
    prompt_file: Path | None,
    data: str | None,
    out: Path | None,
    earlier: str | None,
    *,
    number: int,
    rows: int,
    with_base: bool,
    as_json: bool,
    **typed: str,
) -> None:
    """Measure each RUN on the same held-out rows and ask each the same.

    RUN can also be the folder or the Hub id of an adapter made elsewhere. Exit status 1 when none
    of them could be measured.
    """
    settings = chat_settings.read({**typed, "system": ""}).request()
    if earlier:
        if names or prompt_file or data:
            raise BadInput(
                "--open shows a comparison made before.", "Leave names, --prompts and --data out."
            )
        run = references.find(earlier, locations.comparisons_folder())
        found = read(run)
    else:
        run, found = _measured(
            names,
            Asked(
                prompts=tuple(prompts.read(prompt_file)) if prompt_file else (),
                preset=chosen_preset(data, ()) if data else None,
                number=number,
                rows=rows,
                **settings,
            ),
        )
    folder = out.absolute() if out else run.path
    document = comparison_files.document(found, str(folder), with_base=with_base)
    if out:
        try:
            comparison_files.write(found, folder, document)
        except OSError as error:
            raise BadInput(
                f"{out} cannot be written: {error}.", f"The comparison is in {run.path}."
            ) from error
    if as_json:
        print_json(document)
    else:
        for line in _lines(found):
            say(line)
        say(f"kept in {folder}")
    members = [column for column in found.columns if not column.is_base]
    sys.exit(FAILED if all(column.refused for column in members) else DONE)


def _measured(names: Sequence[str], asked: Asked) -> tuple[Run, Comparison]:
    """Measure, and tell on stderr how far it is.

    Raises:
        LoraTuiError: the engine failed.
    """
    if not names:
        raise BadInput("There is nothing to compare.", "Name a run: `lora-tui runs` lists them.")
    run = comparing.start(_members(names), asked)
    folding = Folding()
    with closing(followed(run)) as batches:
        for batch in batches:
            was = folding.now.doing[0]
            now = folding.fold(batch)
            if now.doing[0] != was and (column := now.column(now.doing[0])):
                say(f"measuring {one_line(column.member.name)}", err=True)
    if folding.now.ended != "finished":
        raise unfinished(run)
    return run, folding.now


def _members(names: Sequence[str]) -> list[Member]:
    """Those that can be compared; what left nothing or is no adapter is named and left out.

    Raises:
        LoraTuiError: none is left, or a name is nobody's: it may be mistyped.
    """
    found, problems = list[Member](), list[LoraTuiError]()
    for name in names:
        try:
            found.append(of_reference(name))
        except BadInput:
            raise
        except LoraTuiError as error:
            problems.append(error)
    if not found:
        raise problems[0]
    for problem in problems:
        say(f"left out: {problem.summary}", err=True)
    return found


def _lines(found: Comparison) -> Iterable[str]:
    """The comparison for people."""
    names = Line("", tuple(one_line(column.member.name) for column in found.columns))
    for title, lines in (
        ("what differs", comparison_table.differences(found)),
        ("cost and result, * the best", comparison_table.table(found)),
    ):
        if lines:
            yield title
            yield from _aligned([names, *lines])
            yield ""
    if found.held_out:
        rows, tokens = (found.held_out.get(name) or 0 for name in ("rows", "tokens"))
        yield f"held-out loss: {rows:,} rows of {found.held_out.get('source')}, {tokens:,} tokens"
    for column in found.columns:
        for note in comparison_table.notes(found, column):
            yield f"! {column.member.name}: {note}"
    for warning in found.warnings:
        yield f"! {warning}"
    yield from comparison_table.summary(found)


def _aligned(lines: Sequence[Line]) -> Iterable[str]:
    cells = [
        [_cut(cell) + ("*" if at in line.best else " ") for at, cell in enumerate(line.cells)]
        for line in lines
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first = max(len(line.name) for line in lines)
    for line, row in zip(lines, cells, strict=True):
        shown = "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield f"{line.name:<{first}}  {shown}".rstrip()


def _cut(cell: str) -> str:
    return cell if len(cell) <= _WIDEST else cell[: _WIDEST - 3] + "..."


VERBS = (compare,)
