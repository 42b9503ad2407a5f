"""What every verb of the command line shares: errors in two sentences, output, arguments."""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import click

from lora_tui.core import chat_settings, config, events, preset_files, runs, text
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.items import Item
from lora_tui.core.presets import Preset
from lora_tui.core.settings import SettingsError
from lora_tui.core.signals import signals

DONE, FAILED = 0, 1


class Commands(click.Group):
    """A group whose errors are two sentences, or one JSON document, and never a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error ends with its own status."""
        try:
            return super().invoke(ctx)
        except LoraTuiError as error:
            if "--json" in sys.argv:
                print_json({"error": {"summary": error.summary, "hint": error.hint}})
            else:
                say(str(error), err=True)
            ctx.exit(error.status)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(DONE)


def say(words: str, *, err: bool = False) -> None:
    """Print text that may come from anywhere: nothing in it is obeyed by the terminal."""
    click.echo(text.printable(words), err=err)


def ring(words: str) -> None:
    """Tell whoever sits at the terminal, by its bell and a notification; a file is told nothing."""
    if not sys.stderr.isatty():
        return
    try:
        how = config.load().notify
    except SettingsError as error:  # what was asked for is done all the same
        say(str(error), err=True)
        return
    sys.stderr.write(signals("lora-tui", words, how, os.environ))
    sys.stderr.flush()


def print_json(document: Any) -> None:
    """Print one JSON document; NaN becomes a word, since JSON has none."""
    click.echo(json.dumps(events.finite(document), indent=1, allow_nan=False))


as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
detached = click.option("--detach", is_flag=True, help="Return at once; the run goes on.")


def slurm_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--slurm and --sbatch: let SLURM start it."""
    command = click.option(
        "--sbatch",
        multiple=True,
        metavar="OPTIONS",
        help='Options for sbatch, as in "--partition=gpu --time=4:00:00"; means --slurm.',
    )(command)
    return click.option("--slurm", is_flag=True, help="Submit it: SLURM starts it.")(command)


def run_ids(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The runs that a shell completes to."""
    found = runs.list_runs()
    names = [str(runs.read_info(run).get("name")) for run in found] if incomplete else []
    words = ["last", *(run.id for run in found), *names]
    return [word for word in dict.fromkeys(words) if word.startswith(incomplete)]


def preset_names(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """The presets that a shell completes to."""
    names = (entry.name for entry in preset_files.list_presets())
    return [name for name in names if name.startswith(incomplete)]


def run_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """RUN: an id, a unique prefix, a name, or `last`."""
    return click.argument("run", metavar="RUN", shell_complete=run_ids)(command)


def say_item(item: Item) -> None:
    """Print one thing looked at, and below it what to do."""
    start = f"{item.status:<7} {item.name:<10}"
    for line in (*item.detail.splitlines(), *item.remedy.splitlines()):
        say(f"{start} {line.strip()}")
        start = " " * len(start)


def preset_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """PRESET and --set: a name or a path, and changes of single settings."""
    command = click.option(
        "--set", "settings", multiple=True, metavar="TABLE.KEY=VALUE", help="Change one setting."
    )(command)
    return click.argument("preset", shell_complete=preset_names)(command)


def chosen_preset(preset: str, settings: tuple[str, ...]) -> Preset:
    """The preset that a command line names, with its changes.

    Raises:
        LoraTuiError: there is none, or a setting does not fit.
    """
    return preset_files.with_settings(preset_files.find(preset), settings)


def setting_options(**defaults: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each setting of how answers are drawn; it is judged where it is declared.

    `defaults` are those that are not the settings' own; without `system` there is no such option.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for item in reversed(chat_settings.KNOBS):
            if item.name == "system" and item.name not in defaults:
                continue
            default = str(defaults.get(item.name, item.default))
            command = click.option(
                f"--{item.name.replace('_', '-')}",
                item.name,
                default=default,
                show_default=bool(default),
                metavar="TEXT" if str in item.types else "NUMBER",
                help=f"{item.limits.help[0].upper()}{item.limits.help[1:]}.",
            )(command)
        return command

    return decorate
