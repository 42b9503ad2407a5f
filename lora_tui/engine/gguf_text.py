"""What an exported file makes of text, against the model's own tokenizer and chat template.

Every fault that is found is a sentence; nothing here looks at a weight.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lora_tui.core.text import one_line
from lora_tui.engine.data import prompt_ids
from lora_tui.engine.formats import BadRow, Message
from lora_tui.engine.masking import Rendered, render_plain, tokenise
from lora_tui.engine.probing import PROBE_TEXT, Probes
from lora_tui.engine.templates import ChatTemplate

_SAID = '  What\'s 2+2?\n\n<b>naïve</b> "quotes" {braces} '
_ASKED: tuple[Message, ...] = (
    {"role": "user", "content": _SAID},
    {"role": "assistant", "content": "It's 4."},
    {"role": "user", "content": "Sure?"},
)
_SYSTEM: Message = {"role": "system", "content": "Be brief."}
_SHOWN = 40
_OF_ROWS = 2  # held-out questions that are rendered beside the fixed conversations


class Tokens:
    """Texts as the model's own tokenizer makes token ids of them."""

    def __init__(self, probes: Probes, template: ChatTemplate) -> None:
        """Tokenise the probe text, the special tokens and the rows."""
        special = template.tokenizer.get_added_vocab()
        named = " a ".join(sorted(special, key=special.__getitem__))
        fixed = {"the probe text": PROBE_TEXT, "the special tokens": named}
        rows = {f"row {at}": text for at, text in enumerate(probes.texts, 1)}
        self._tokenizer = template.tokenizer
        self._texts = {name: render_plain(text) for name, text in fixed.items() if text} | rows
        self._ids = self._tokenised(self._texts.values())

    def _tokenised(self, texts: Iterable[Rendered]) -> list[list[int]]:
        return [list(one.ids) for one in tokenise(self._tokenizer, list(texts))]

    def asked(self) -> list[tuple[str, bool]]:
        """The texts twice, as they are and composed, and whether what goes round a text counts."""
        found = [(one.text, one.is_plain) for one in self._texts.values()]
        return [*found, *((_composed(text), is_plain) for text, is_plain in found)]

    def faults(self, said: Sequence[Sequence[int]]) -> tuple[list[str], list[str]]:
        """What is wrong, and what has to be said, given the file's ids of `asked`.

        A tokenizer may compose characters (NFC), which llama.cpp does not: where the ids agree once
        the text is composed, that is said and nothing is wrong.
        """
        half, notes = len(self._ids), []
        apart = []
        for at, (name, own) in enumerate(zip(self._texts, self._ids, strict=True)):
            if list(said[at]) == own:
                continue
            if list(said[half + at]) == own:
                notes = [
                    "The model's tokenizer composes characters such as e + \u0301, llama.cpp does "
                    "not: text that has them decomposed gets other tokens there."
                ]
                continue
            apart.append(self._fault(name, own, said[at]))
        if not apart:
            return [], notes
        return [f"Token ids differ in {len(apart)} of {half} texts: {apart[0]}."], notes

    def _fault(self, name: str, own: Sequence[int], said: Sequence[int]) -> str:
        at = _apart(own, said)
        before = one_line(self._tokenizer.decode(own[max(0, at - 8) : at]))[-_SHOWN:]
        return (
            f"{name}, behind {before!r}: torch has {list(own[at : at + 4])}, the file "
            f"{list(said[at : at + 4])}"
        )


def _apart(one: Sequence[Any], other: Sequence[Any]) -> int:
    """The first place at which two differ."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


class Conversations:
    """Conversations as the model's own template renders them, up to where an answer begins."""

    def __init__(self, probes: Probes, template: ChatTemplate) -> None:
        """Render the fixed ones and the first of the rows'; what a template refuses is left out."""
        several = [list(_ASKED[:1]), list(_ASKED), *probes.questions[:_OF_ROWS]]
        if template.takes_system:
            several.append([_SYSTEM, *_ASKED])
        self._template = template
        self._all = list(self._rendered(several))
        self.messages = [messages for messages, _, _ in self._all]

    def _rendered(
        self, several: list[list[Message]]
    ) -> Iterator[tuple[list[Message], str, list[int]]]:
        for messages in several:
            try:
                text = self._template.render(messages, prompt=True)
            except BadRow:
                continue
            yield messages, text, prompt_ids(self._template, messages)

    @property
    def longest(self) -> int:
        """The most tokens of one."""
        return max((len(ids) for _, _, ids in self._all), default=0)

    def faults(self, said: Sequence[dict[str, Any]], bos: int | None) -> list[str]:
        """What is wrong with the file's template.

        Args:
            said: The `text` and the `ids` of each conversation, or an `error`.
            bos: The token that llama.cpp puts before a text itself, and so takes off the template.
        """
        before = self._template.tokenizer.decode([bos]) if bos is not None else ""
        for (messages, text, ids), found in zip(self._all, said, strict=True):
            shape = ", ".join(message["role"] for message in messages)
            if "error" in found:
                return [f"Its chat template fails on a conversation ({shape}): {found['error']}."]
            wanted, got = text.removeprefix(before), str(found["text"])
            if got != wanted:
                at = _apart(wanted, got)
                return [
                    f"Its chat template renders another text ({shape}): "
                    f"{wanted[at : at + _SHOWN]!r} by the tokenizer, {got[at : at + _SHOWN]!r} by "
                    "the file."
                ]
            if (got_ids := found["ids"]) != ids:
                at = _apart(ids, got_ids)
                return [
                    f"A chat's token ids differ ({shape}): at token {at + 1} torch has "
                    f"{ids[at : at + 4]}, the file {got_ids[at : at + 4]}."
                ]
        return []


def ends_faults(own: Sequence[int], head: dict[str, Any], tokenizer: Any) -> list[str]:
    """What is wrong with the tokens at which the file ends an answer.

    Args:
        own: Where the model itself does.
        head: What the file says: `eos`, and all its `ends`.
        tokenizer: Names the tokens.
    """
    names = [tokenizer.convert_ids_to_tokens(token) for token in own]
    faults = []
    if head["eos"] not in own:
        said = head["eos"]
        name = tokenizer.convert_ids_to_tokens(said) if 0 <= said < len(tokenizer) else None
        faults.append(
            f"Its end-of-sequence token is {name!r}, the model ends at {', '.join(names)}."
        )
    missing = [name for token, name in zip(own, names, strict=True) if token not in head["ends"]]
    if missing:
        faults.append(f"It does not stop at {', '.join(missing)}, where the model ends an answer.")
    return faults
