"""Rows as token ids with labels: which tokens are trained is proven, row by row.

The text of a conversation up to an answer has to be a prefix of the text with the answer; what the
answer adds, up to and including its end-of-turn token, is trained. Text is tokenised once, and its
character spans become token spans by offsets.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lora_tui.engine.formats import BadRow, Message
from lora_tui.engine.templates import ChatTemplate

IGNORED = -100
"""The label of a token that does not count, as every library here writes it."""

Span = tuple[int, int]
Tokens: TypeAlias = "array[int]"  # not subscriptable when run before Python 3.12


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text and the spans of its characters that are trained."""

    text: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One training row: compact arrays, since a data set holds hundreds of millions of tokens."""

    input_ids: Tokens
    labels: Tokens
    truncated: bool = False

    @property
    def trained(self) -> int:
        """How many tokens count."""
        return len(self.labels) - self.labels.count(IGNORED)


def render(template: ChatTemplate, messages: list[Message]) -> list[Rendered]:
    """The conversation as text with its trained spans; several texts when the template rewrites.

    Raises:
        BadRow: the template refuses it, or hides where an answer is.
    """
    messages = template.fitted(messages)
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    answers = [index for index in answers if index]  # nothing was asked before the first message
    if not answers:
        raise BadRow("an answer to nothing")
    turns = [_turn(template, messages, index) for index in answers]
    whole = turns[-1].text
    if all(whole.startswith(turn.text[: turn.spans[0][1]]) for turn in turns):
        return [Rendered(whole, tuple(turn.spans[0] for turn in turns))]
    template.note_rewriting()
    return turns


def _turn(template: ChatTemplate, messages: Sequence[Message], index: int) -> Rendered:
    """The text up to and with the answer at `index`, and the answer's span in it."""
    before = template.render(messages[:index], prompt=True)
    text = template.render(messages[: index + 1])
    start = len(before)
    if not text.startswith(before):
        # Some prompts open a thought that the rendered answer does not show. What both share is
        # what the model is given; it has to hold everything before the answer.
        start = _shared(before, text)
        if start < len(template.render(messages[:index]).rstrip()):
            raise BadRow("the chat template changes what came before an answer")
    end = len(text.rstrip())
    if messages[index]["content"].strip() not in text[start:end]:
        raise BadRow("the chat template does not show the answer as it is")
    return Rendered(text, ((start, end),))


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def encode(
    tokenizer: Any, rendered: Sequence[Rendered], longest: int, *, train_on: str
) -> list[Example]:
    """Tokenise texts, each once, and label the tokens that begin inside a trained span."""
    encodings = tokenizer([item.text for item in rendered], add_special_tokens=False).encodings
    return [
        _labelled(
            encoding.ids,
            [True] * len(encoding.ids)
            if train_on == "all"
            else _inside(encoding, len(encoding.ids), item.spans),
            longest,
        )
        for item, encoding in zip(rendered, encodings, strict=True)
    ]


def _inside(encoding: Any, length: int, spans: Sequence[Span]) -> list[bool]:
    """For each of `length` tokens, whether its first character lies in a span.

    Asked of the tokenizer only where a span begins and ends: a row has hundreds of tokens, and few
    answers.
    """
    flags = [False] * length
    for start, end in spans:
        first = _token_at(encoding, range(start, end))
        last = _token_at(encoding, range(end - 1, start - 1, -1))
        if first is None or last is None:
            continue
        first += encoding.token_to_chars(first)[0] < start  # one that begins before the span
        while last + 1 < length and _begins_before(encoding, last + 1, end):
            last += 1  # one character may be several tokens
        flags[first : last + 1] = [True] * (last + 1 - first)
    return flags


def _token_at(encoding: Any, characters: Iterable[int]) -> int | None:
    """The token of the first of `characters` that has one: some tokenizers drop spaces."""
    tokens = (encoding.char_to_token(place) for place in characters)
    return next((token for token in tokens if token is not None), None)


def _begins_before(encoding: Any, token: int, end: int) -> bool:
    place = encoding.token_to_chars(token)
    return place is not None and place[0] < end


def encode_marked(
    template: ChatTemplate, messages: list[Message], longest: int, *, train_on: str
) -> Example:
    """A conversation by the template's own markers.

    Raises:
        BadRow: the template refuses it.
    """
    ids, mask = template.render_marked(template.fitted(messages))
    special = set(template.tokenizer.all_special_ids)
    ends = [index for index in range(1, len(ids)) if mask[index - 1] and not mask[index]]
    if train_on == "assistant" and any(ids[index] in special for index in ends):
        template.note_untrained_end()
    return _labelled(ids, [train_on == "all" or bool(flag) for flag in mask], longest)


def encode_text(tokenizer: Any, texts: Sequence[str], longest: int) -> list[Example]:
    """Plain texts: every token counts, and an end-of-text token closes each."""
    end = tokenizer.eos_token_id
    examples = []
    for ids in tokenizer(list(texts))["input_ids"]:
        closed = ids if end is None or ids[-1:] == [end] else [*ids, end]
        examples.append(_labelled(closed, [True] * len(closed), longest))
    return examples


def _labelled(ids: Sequence[int], trained: Sequence[bool], longest: int) -> Example:
    labels = [token if flag else IGNORED for token, flag in zip(ids, trained, strict=True)]
    labels[:1] = [IGNORED] * len(
        labels[:1]
    )  # nothing precedes the first token: it is never predicted
    return Example(array("i", ids[:longest]), array("i", labels[:longest]), len(ids) > longest)
