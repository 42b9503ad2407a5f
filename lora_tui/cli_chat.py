"""The verb that talks to adapters: line by line, for people and for pipes."""

import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import click

from lora_tui.cli_chat_host import Host, Refused
from lora_tui.console import DONE, FAILED, as_json, print_json, run_ids, say, setting_options
from lora_tui.core import chat_settings
from lora_tui.core.chat import UNANSWERED, Chat, Turn
from lora_tui.core.chat_folding import Folding
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import of_reference
from lora_tui.jobs import talk

_INTERRUPTED = 128 + signal.SIGINT


@click.command()
@click.argument("names", metavar="RUN...", nargs=-1, shell_complete=run_ids)
@setting_options(system="")
@click.option("--all", "to_all", is_flag=True, help="The base and every RUN answer each line.")
@as_json
def chat(names: Sequence[str], *, to_all: bool, as_json: bool, **typed: str) -> None:
    """Talk to what each RUN learned, on one base that stays loaded.

    RUN can also be the folder or the Hub id of an adapter made elsewhere. The first one answers;
    `/help` says how to go on. From a pipe, each line is a prompt that goes on with the
    conversation; answers are on stdout, all else is on stderr. Exit status 1 when no RUN can be
    attached, or a prompt of a pipe stays without any answer.
    """
    settings = chat_settings.read(typed)
    folding = Folding(talk.table_of([of_reference(name) for name in names]))
    is_person = not as_json and _is_terminal(sys.stdin) and _is_terminal(sys.stdout)
    host = Host(folding, settings, to_all=to_all, prints=not as_json, is_person=is_person)
    error: LoraTuiError | None = None
    status = DONE
    try:
        _with_person(host) if is_person else _with_pipe(host)
    except KeyboardInterrupt:
        say("", err=True)  # an answer may have been cut off in the middle of a line
        status = _INTERRUPTED
    except LoraTuiError as raised:
        if not as_json:
            raise
        error, status = raised, raised.status
    if as_json:
        print_json(_document(folding.now, error))
    lost = any(_is_lost(turn) for turn in folding.now.turns)
    sys.exit(status or (FAILED if lost and not is_person else DONE))


def _is_terminal(stream: Any) -> bool:
    return stream is not None and stream.isatty()


def _with_person(host: Host) -> None:
    """Prompt and answer until the person ends it."""
    import readline  # noqa: F401 - input() edits and remembers lines once this is there

    with host.begun():
        say("/help says how to swap, to ask all and to end.", err=True)
        was_pressed = False  # ctrl+c, last of all
        while True:
            try:
                if not host.hear(input(f"{host.who}> ")):
                    return
                was_pressed = host.was_cancelled
            except EOFError:
                say("")  # the shell's own prompt begins a line
                return
            except KeyboardInterrupt:
                if host.is_asking or was_pressed:
                    raise
                was_pressed = True
                say("\nctrl+c once more ends the chat, as ctrl+d does.", err=True)
            except UnicodeDecodeError:
                say("That line is not UTF-8: nothing was asked.", err=True)
            except (BadInput, Refused) as error:
                say(str(error), err=True)


def _with_pipe(host: Host) -> None:
    """Ask line by line; without a line no engine is started."""
    lines = _piped()
    if (first := next(lines, None)) is None:
        return
    with host.begun():
        for line in chain([first], lines):
            if not host.hear(line):
                return


def _piped() -> Iterator[str]:
    """The lines of standard input that hold anything.

    Raises:
        BadInput: one is not UTF-8; those before it have been handed over.
    """
    for number, line in enumerate(sys.stdin.buffer if sys.stdin else (), 1):
        try:
            decoded = line.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"Line {number} of the input is not UTF-8: nothing from there on was asked.",
                "Save it as UTF-8.",
            ) from error
        if decoded.strip():
            yield decoded


def _is_lost(turn: Turn) -> bool:
    """Whether nobody answered."""
    return all(turn.answer(id_).ended in {"", UNANSWERED} for id_ in turn.to)


def _document(chat: Chat, error: LoraTuiError | None) -> dict[str, Any]:
    """All of it for scripts; `error` is there where the chat ended before the input did."""
    base, *seats = chat.seats
    document: dict[str, Any] = {
        "base": base.member.base,
        "members": [
            {
                "id": seat.id,
                "name": seat.member.name,
                "attach_milliseconds": seat.attach_milliseconds,
                "warnings": list(seat.warnings),
                "refused": dict(seat.refused) or None,
            }
            for seat in seats
        ],
        "turns": [_answer(turn, id_) for turn in chat.turns for id_ in turn.to],
    }
    if error:
        document["error"] = {"summary": error.summary, "hint": error.hint}
    return document


def _answer(turn: Turn, id_: str) -> dict[str, Any]:
    answer = turn.answer(id_)
    return {
        "number": turn.number,
        "prompt": turn.prompt,
        "id": id_,
        "answer": answer.text,
        "tokens": answer.tokens,
        "seconds": answer.seconds,
        "ended": answer.ended,
        "mixed": answer.mixed,
        "failure": dict(answer.failure) or None,
    }


VERBS = (chat,)
