"""Prompts of the user's own: kept from a chat, read for a comparison."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lora_tui.core import locations
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.files import private_folder
from lora_tui.core.text import one_line, size

_JSON = frozenset({".json", ".jsonl", ".ndjson"})
_NAMES = ("prompt", "question", "instruction")
_MOST_BYTES = 10_000_000
_MOST_NAMED = 5

_FORMS = (
    "A text file holds a prompt a line; a .jsonl file a text a line, or an object with "
    '"prompt", "question" or "messages".'
)


def kept() -> Path:
    """The file that `add` writes."""
    return locations.home() / "prompts.jsonl"


def add(text: str) -> bool:
    """Append a prompt to those kept; whether it was new.

    Raises:
        LoraTuiError: the disk did not take it.
    """
    path = kept()
    line = (json.dumps({"prompt": text}, ensure_ascii=False) + "\n").encode("utf-8", "replace")
    try:
        private_folder(path.parent)
        with path.open("ab+") as file:
            file.seek(0)
            lines = file.read().split(b"\n")
            if line[:-1] in lines:
                return False
            if lines[-1]:  # half a line, or one typed without its end: it stays on its own
                line = b"\n" + line
            file.write(line)
        path.chmod(0o600)
    except OSError as error:
        raise LoraTuiError(
            f"The prompt was not kept: {error}.", "Is there room on the disk?"
        ) from error
    return True


def read(path: Path) -> list[str]:
    """The prompts in a file: a line each of text, or of JSON where its name says so.

    Raises:
        BadInput: it cannot be read, holds none, or a line is none; the first such are named.
    """
    prompts, problems = list[str](), list[str]()
    for number, found in _found(path):
        if isinstance(found, _Problem):
            problems.append(f"line {number}: {found}")
        else:
            prompts.append(found)
    if problems:
        more = len(problems) - _MOST_NAMED
        named = problems[:_MOST_NAMED] + [f"and {more} lines more"] * (more > 0)
        listed = "\n".join(f"  {problem}" for problem in named)
        raise BadInput(f"{path} holds what is no prompt:\n{listed}", _FORMS)
    if not prompts:
        raise BadInput(f"{path} holds no prompt.", _FORMS)
    return prompts


class _Problem(str):
    """Why a line is no prompt."""

    __slots__ = ()


def _found(path: Path) -> Iterator[tuple[int, str]]:
    """Each line that is not blank: its number, and its prompt or what is wrong with it."""
    is_json = path.suffix.lower() in _JSON
    text = _text(path)
    if is_json and text.lstrip().startswith("["):
        yield from _array(path, text)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _parsed(line) if is_json else line.strip()


def _text(path: Path) -> str:
    try:
        if (length := path.stat().st_size) > _MOST_BYTES:
            raise BadInput(
                f"{path} has {size(length)}: that is data, not a list of prompts.",
                "Put the prompts to compare into a file of their own.",
            )
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise BadInput(
            f"{path} is no text in UTF-8: see line {line}.", "Save it as UTF-8."
        ) from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.", _FORMS) from error


def _array(path: Path, text: str) -> Iterator[tuple[int, str]]:
    try:
        items = json.loads(text)
    except RecursionError as error:
        raise BadInput(f"{path} is nested too deep.", _FORMS) from error
    except ValueError as error:
        line = getattr(error, "lineno", 1)
        raise BadInput(f"{path} is no JSON: see line {line}.", _FORMS) from error
    for item in items:
        prompt = _prompt(item)
        if isinstance(prompt, _Problem):
            raise BadInput(f"{path}: {one_line(str(item)[:60])}: {prompt}.", _FORMS)
        yield 0, prompt


def _parsed(line: str) -> str:
    try:
        return _prompt(json.loads(line))
    except (ValueError, RecursionError):
        return _Problem(f"no JSON: {one_line(line[:60])}")


def _prompt(item: Any) -> str:
    """The text to be asked."""
    if isinstance(item, dict):
        name = next((name for name in _NAMES if name in item), "")
        if name:
            item = item[name]
        elif "messages" in item:
            item = _last_question(item["messages"])
        else:
            return _Problem(f"no prompt, question or messages: {one_line(', '.join(item))[:60]}")
    if not isinstance(item, str):
        return _Problem("the prompt is no text")
    try:
        item.encode("utf-8")
    except UnicodeEncodeError:  # half a character, as a broken escape leaves it
        return _Problem("the prompt is no Unicode text")
    return item if item.strip() else _Problem("the prompt is empty")


def _last_question(messages: Any) -> Any:
    if not isinstance(messages, list):
        return None
    asked = [one for one in messages if isinstance(one, dict) and one.get("role") == "user"]
    return asked[-1].get("content") if asked else None
