"""The command line: a twin of every screen. The app is imported only when it opens."""

import io
import os
import sys

import click

from lora_tui import (
    cli_chat,
    cli_compare,
    cli_export,
    cli_merge,
    cli_queue,
    cli_reports,
    cli_runs,
    cli_sweep,
)
from lora_tui.console import (
    DONE,
    FAILED,
    Commands,
    as_json,
    preset_names,
    print_json,
    say,
    say_item,
)
from lora_tui.core import preset_files, presets, text
from lora_tui.core.errors import BadInput
from lora_tui.core.items import document, is_ok


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="lora-tui")
@click.pass_context
def main(ctx: click.Context) -> None:
    """LLM LoRA fine-tuning over SSH: pick a preset, train detached, watch, keep the adapter.

    Without a command it opens the app. PRESET is a name or a path; RUN an id, a unique prefix of
    one, a name, or `last`. Exit status: 0 done, 1 failed, 2 bad input.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # names may hold what the terminal cannot show
    if ctx.invoked_subcommand is None:
        _open_app()


def _open_app() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise BadInput("The app needs a terminal.", "Here the verbs work: lora-tui --help")
    for name, value in _TERMINAL_MANNERS.items():
        os.environ.setdefault(name, value)
    from lora_tui.tui.app import LoraTuiApp

    app = LoraTuiApp()
    app.run(mouse=False)  # the terminal's own selection works, nothing crosses the line
    sys.exit(app.return_code or DONE)


_TERMINAL_MANNERS = {
    "TEXTUAL_ANIMATIONS": "none",  # nothing moves for show over a slow line
    "TEXTUAL_FPS": "15",
    "TEXTUAL_DISABLE_KITTY_KEY": "1",  # some terminals answer its query as typed keys
}


@main.command("presets")
@click.option(
    "--show", "name", metavar="NAME", shell_complete=preset_names, help="Print one preset as TOML."
)
@as_json
def list_presets(name: str | None, as_json: bool) -> None:
    """List the presets, or print one."""
    if name is not None:
        preset = preset_files.find(name)
        print_json(presets.to_document(preset)) if as_json else say(
            preset_files.dumps(preset).rstrip()
        )
        return
    entries = preset_files.list_presets()
    if as_json:
        print_json([entry.document() for entry in entries])
        return
    for entry in entries:
        said = entry.preset.description if entry.preset else f"broken: {entry.problems[0]}"
        say(f"{text.one_line(entry.name):<24} {text.one_line(said)}")


@main.command()
@as_json
def doctor(as_json: bool) -> None:
    """Look at the machine: GPU, libraries, disk, terminal, Hub."""
    from lora_tui.jobs import doctor as machine

    items = []
    for item in machine.examine():
        items.append(item)
        if not as_json:
            say_item(item)
    if as_json:
        print_json(document(items))
    sys.exit(DONE if is_ok(items) else FAILED)


for verb in (
    *cli_runs.VERBS,
    *cli_queue.VERBS,
    *cli_reports.VERBS,
    *cli_compare.VERBS,
    *cli_chat.VERBS,
    *cli_merge.VERBS,
    *cli_export.VERBS,
    *cli_sweep.VERBS,
):
    main.add_command(verb)
