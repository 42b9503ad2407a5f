"""The verb of sweeps: runs over a grid of values, their plan before, their table after."""

import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import click

from lora_tui.console import (
    DONE,
    FAILED,
    as_json,
    detached,
    preset_names,
    print_json,
    say,
)
from lora_tui.core import grids, sweep_rows, sweep_table, sweeps, text
from lora_tui.core.errors import BadInput
from lora_tui.core.plain import moment
from lora_tui.core.settings import SettingsError
from lora_tui.core.states import LIVE
from lora_tui.core.sweep_plan import Plan
from lora_tui.core.sweep_rows import Following, Row
from lora_tui.core.sweeps import Asked, Sweep
from lora_tui.jobs import queue
from lora_tui.jobs import sweep as sweeping

_LOOK = 0.5  # seconds
_OPEN = frozenset({*LIVE, "queued"})


@click.command()
@click.argument("preset", required=False, shell_complete=preset_names)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one setting.")
@click.option("--grid", "grid", multiple=True, metavar="KEY=V,V", help="Values of one setting.")
@click.option("--with-full", is_flag=True, help="Full fine-tuning too, as the baseline.")
@click.option("--halving", is_flag=True, help="Stop what is clearly losing on the way.")
@click.option("--name", default="", help="What to call the sweep.")
@click.option("--plan", "only_plan", is_flag=True, help="Say what it would cost; start nothing.")
@click.option("--show", "earlier", metavar="SWEEP", help="Show the table of one, or of `last`.")
@click.option("--list", "lists", is_flag=True, help="List the sweeps there are.")
@click.option("--stop", "ended", metavar="SWEEP", help="Stop all runs of one that work or wait.")
@detached
@as_json
def sweep(
    preset: str | None,
    settings: tuple[str, ...],
    grid: tuple[str, ...],
    *,
    name: str,
    earlier: str | None,
    ended: str | None,
    with_full: bool,
    halving: bool,
    only_plan: bool,
    lists: bool,
    detach: bool,
    as_json: bool,
) -> None:
    """Train PRESET once for each combination of values, and follow it; ctrl+c leaves it running.

    As in --grid lora.r=8,16,32,64. Runs take turns on the devices there are; one that fails does
    not stop the others. Exit status 1 when one of them failed.
    """
    if sum(map(bool, (preset, earlier, ended, lists))) != 1:
        raise BadInput(
            "A sweep needs a preset, or one of --show, --stop and --list.",
            "As in lora-tui sweep smollm2-lora --grid lora.r=8,16,32,64",
        )
    if lists:
        _list(as_json=as_json)
    elif earlier:
        _show(sweeps.find(earlier), as_json=as_json)
    elif ended:
        found = sweeps.find(ended)
        if not (number := sweeping.stop(found)) and not as_json:
            say("All of it has ended.")
            return
        print_json({"id": found.id, "stopped": number}) if as_json else say(
            f"{number} {'run' if number == 1 else 'runs'} told to stop; those at work save first"
        )
    else:
        asked = _asked(str(preset), settings, grid, name, with_full=with_full, halving=halving)
        _run(asked, only_plan=only_plan, detach=detach, as_json=as_json)


def _asked(
    preset: str, settings: Sequence[str], grid: Sequence[str], name: str, **how: bool
) -> Asked:
    chosen, values = grids.from_command(preset, settings, grid)
    return Asked(preset=chosen, grid=values, name=name, **how)


def _run(asked: Asked, *, only_plan: bool, detach: bool, as_json: bool) -> None:
    """Say what it costs, start it, and follow it unless nobody waits."""
    plan = sweeping.plan(asked)
    if not as_json:
        for line in _plan(plan):
            say(line)
    if plan.problems:
        raise SettingsError("This sweep cannot run as it is asked for", list(plan.problems))
    if only_plan:
        if as_json:
            print_json(plan.document())
        return
    sweep = sweeping.start(asked, command=shlex.join(["lora-tui", *sys.argv[1:]]))
    if not as_json:
        say(sweep.id)
    if not detach:
        rows = _follow(sweep, quiet=as_json)
        _end(sweep, rows, plan, as_json=as_json)
    elif as_json:
        print_json(_document(sweep, sweep_rows.read(sweep), plan))


def _plan(plan: Plan) -> Iterator[str]:
    """What it would cost, and each run of it."""
    if not plan.costs:
        return
    for name, said in plan.facts():
        yield f"{name:<10}{said}"
    widest = max(len(cost.variant.label) for cost in plan.costs)
    yield f"{'run':<{widest}}  {'trained':>8}  {'saved':>8}  {'time':>7}"
    for cost in plan.costs:
        time_ = text.duration(cost.seconds)
        about = "~" if cost.is_rough else ""
        figures = f"{text.count(cost.trainable):>8}  {text.size(cost.saved):>8}"
        yield f"{text.one_line(cost.variant.label):<{widest}}  {figures}  {about + time_:>7}"
    for note in plan.notes:
        yield f"! {note}"


def _follow(sweep: Sweep, *, quiet: bool) -> tuple[Row, ...]:
    """Say when runs begin and end, to stderr when stdout is kept for the JSON document."""
    following = Following(sweep)
    before: dict[str, str] = {}
    try:
        while True:
            rows = following.look()
            for row in rows:
                if row.state != before.get(row.run.id):
                    before[row.run.id] = row.state
                    say(_said(row), err=quiet)
            if not any(row.state in _OPEN for row in rows):
                return rows
            queue.keep_going()  # somebody may have killed the keeper
            time.sleep(_LOOK)
    except KeyboardInterrupt:
        if quiet:
            print_json(_document(sweep, following.look()))
        say(f"\n{sweep.id} goes on.", err=True)
        say(f"Its table: lora-tui sweep --show {sweep.id}", err=True)
        say(f"Stop it:   lora-tui sweep --stop {sweep.id}", err=True)
        sys.exit(DONE)


def _said(row: Row) -> str:
    """A run that began, ended or waits, in a line."""
    said = f"{moment(time.time(), '%H:%M:%S')}  {row.label}  {row.state}"
    if row.failure:
        return f"{said}: {text.one_line(row.failure['summary'])}"
    if row.held_out is not None and row.state not in _OPEN:
        said += f"  held-out {text.number(row.held_out)}  {text.duration(row.elapsed)}"
    return said


def _show(sweep: Sweep, *, as_json: bool) -> None:
    rows = sweep_rows.read(sweep)
    if as_json:
        print_json(_document(sweep, rows))
        return
    for line in _table(rows):
        say(line)


def _table(rows: Sequence[Row]) -> Iterator[str]:
    """The table, what it comes to, and what has to be said of single runs."""
    yield from sweep_table.lines(rows)
    yield from sweep_table.summary_of(rows)
    for row in rows:
        if row.failure:
            yield f"! {row.label}: {row.failure['summary']} {row.failure['hint']}".rstrip()
        for warning in row.warnings:
            yield f"! {row.label}: {warning}"


def _document(sweep: Sweep, rows: Sequence[Row], plan: Plan | None = None) -> dict[str, Any]:
    return {
        "id": sweep.id,
        "name": sweep.name,
        "state": sweeps.state_of(sweep),
        "created": sweep.created,
        "runs": [run.id for run in sweep.runs],
        "grid": {key: list(values) for key, values in sweep.grid.items()},
        "halving": sweep.halving,
        "baseline": sweep.baseline or None,
        "path": str(sweep.path),
        **({"plan": plan.document()} if plan else {}),
        "rows": [row.document() for row in rows],
        "summary": sweep_table.summary_of(rows),
    }


def _end(sweep: Sweep, rows: Sequence[Row], plan: Plan, *, as_json: bool) -> None:
    if as_json:
        print_json(_document(sweep, rows, plan))
    else:
        say("")
        for line in _table(rows):
            say(line)
    sys.exit(FAILED if any(row.failure for row in rows) else DONE)


def _list(*, as_json: bool) -> None:
    found = sweeps.list_sweeps()
    if as_json:
        print_json([_short(one) for one in found])
        return
    if not found:
        say("No sweeps yet. As in: lora-tui sweep demo --grid lora.r=8,16", err=True)
    for one in found:
        labels = text.one_line(", ".join(one.labels))
        say(f"{one.id:<36} {sweeps.state_of(one):<9} {len(one.runs):>3} runs  {labels}")


def _short(sweep: Sweep) -> dict[str, Any]:
    state, ids = sweeps.state_of(sweep), [run.id for run in sweep.runs]
    return {"id": sweep.id, "name": sweep.name, "state": state, "runs": ids}


VERBS = (sweep,)
