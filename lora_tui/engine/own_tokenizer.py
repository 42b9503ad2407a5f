"""The tokenizer that lies beside an adapter's weights: a run saves the one it was trained with."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from lora_tui.core.errors import LoraTuiError
from lora_tui.engine.probing import PROBE_TEXT

_FILES = ("tokenizer*.json", "chat_template*", "special_tokens_map.json", "added_tokens.json")


def read(folder: Path, rows: int) -> Any:
    """The tokenizer in `folder`; None where there is none.

    Args:
        folder: An adapter's, or a model's.
        rows: How many tokens the model embeds.

    Raises:
        LoraTuiError: it cannot be read, or has more tokens than the model.
    """
    if not (folder / "tokenizer.json").is_file():
        return None
    try:
        found = AutoTokenizer.from_pretrained(str(folder))
    except Exception as error:  # tokenizers raises bare exceptions
        raise LoraTuiError(f"The tokenizer beside the adapter cannot be read ({error}).") from error
    if len(found) > rows:
        raise LoraTuiError("The adapter's tokenizer has more tokens than the model.")
    return found


def differences(own: Any, other: Any) -> Iterator[str]:
    """What one tokenizer does otherwise than another, each a few words."""
    if own.get_vocab() != other.get_vocab():
        yield "tokens of its own"
    elif own(PROBE_TEXT)["input_ids"] != other(PROBE_TEXT)["input_ids"]:
        yield "a way of its own to cut text into tokens"
    if own.chat_template and own.chat_template != other.chat_template:
        yield "a chat template of its own"


def chosen(base: Any, folder: Path, rows: int) -> tuple[Any, list[str]]:
    """The base's tokenizer, or that in `folder` where it differs; and what has to be said.

    Args:
        base: The base's.
        folder: The adapter's.
        rows: How many tokens the model embeds.
    """
    try:
        own = read(folder, rows)
    except LoraTuiError as error:
        return base, [f"{error.summary} The base's is written."]
    found = list(differences(own, base)) if own is not None else []
    if not found:
        return base, []
    if not own.chat_template:
        own.chat_template = base.chat_template
    return own, [f"The adapter brings {' and '.join(found)}: written with it."]


def keep_first(folders: Sequence[Path], rows: int, target: Path) -> list[str]:
    """Put the first tokenizer that several adapters bring into `target`; what has to be said.

    Args:
        folders: The adapters'.
        rows: How many tokens the model embeds.
        target: The folder of what they were combined to.
    """
    first, kept, said = None, None, []
    for folder in folders:
        try:
            own = read(folder, rows)
        except LoraTuiError as error:
            said.append(f"{folder}: {error.summary}")
            continue
        if own is None:
            continue
        if first is None:
            first, kept = own, folder
            for path in (path for pattern in _FILES for path in folder.glob(pattern)):
                shutil.copyfile(path, target / path.name)
        elif found := list(differences(own, first)):
            said.append(f"{folder} brings {' and '.join(found)}: that of {kept} is written.")
    return said
