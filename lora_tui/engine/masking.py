"""Rows as token ids and the spans of them that are trained: proven, row by row.

The text of a conversation up to an answer has to be a prefix of the text with the answer; what the
answer adds, up to and including its end-of-turn token, is trained. Text is tokenised once, and its
character spans become token spans by offsets.
"""

import json
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from lora_tui.engine.formats import BadRow, Message
from lora_tui.engine.templates import ChatTemplate

IGNORED = -100
"""The label of a token that does not count, as every library here writes it."""

Span = tuple[int, int]
Spans = tuple[Span, ...]
Tokens: TypeAlias = "array[int]"  # not subscriptable when run before Python 3.12


@dataclass(frozen=True, slots=True)
class Rendered:
    """A text and the spans of its characters that are trained.

    `is_plain` text is no conversation: the tokenizer's own first token goes before it, and the
    end-of-text token behind.
    """

    text: str
    spans: Spans
    is_plain: bool = False


@dataclass(frozen=True, slots=True)
class Example:
    """One training row, compact: a data set holds hundreds of millions of tokens.

    `spans` are the trained tokens; `length` counts the tokens, and `lost` the trained ones cut off.
    """

    input_ids: Tokens
    spans: Spans
    length: int
    lost: int = 0

    @property
    def truncated(self) -> bool:
        """Whether the row was longer than it may be."""
        return self.length > len(self.input_ids)

    @property
    def trained(self) -> int:
        """How many tokens count."""
        return _size(self.spans)

    def ends_in(self, special: frozenset[int]) -> bool:
        """Whether the last trained token is one of `special`, as an end of turn is.

        Of a row that is cut, which has no end, yes.
        """
        return self.truncated or self.input_ids[self.spans[-1][1] - 1] in special

    @property
    def labels(self) -> Tokens:
        """The token to predict at each place, `IGNORED` where none counts."""
        labels = array("i", [IGNORED]) * len(self.input_ids)
        for start, end in self.spans:
            labels[start:end] = self.input_ids[start:end]
        return labels


def render(template: ChatTemplate, messages: list[Message], train_on: str) -> list[Rendered]:
    """The conversation as text with its trained spans; several texts when the template rewrites.

    Args:
        template: How a conversation becomes text.
        messages: The conversation, which ends with an answer.
        train_on: `assistant` for every answer, `last` for the last, `all` for the whole text.

    Raises:
        BadRow: the template refuses it, or hides where an answer is.
    """
    messages = template.fitted(messages)
    if train_on == "all":
        text = template.render(messages)
        return [Rendered(text, ((0, len(text.rstrip())),))]  # ends with the end of turn
    if template.has_markers and train_on == "assistant":
        return [Rendered(*template.render_marked(messages))]
    answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    answers = [index for index in answers if index]  # nothing was asked before the first message
    if not answers:
        raise BadRow("it begins with an answer: nothing is asked")
    if train_on == "last":
        return [_turn(template, messages, answers[-1])]
    turns = [_turn(template, messages, index) for index in answers]
    whole = turns[-1].text
    if all(whole.startswith(turn.text[: turn.spans[0][1]]) for turn in turns):
        return [Rendered(whole, tuple(turn.spans[0] for turn in turns))]
    template.note_rewriting()
    return turns


def render_plain(text: str) -> Rendered:
    """A text that is no conversation: all of it counts."""
    return Rendered(text, ((0, len(text)),), is_plain=True)


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
    answer = text[start:end]
    if messages[index]["content"].strip() not in answer:
        raise BadRow("the chat template does not show the answer as it is")
    if not all(name in answer for name in _called(messages[index])):
        raise BadRow("the chat template does not show which tool is called")
    said = (message["content"].strip() for message in messages[:index] if message["role"] == "tool")
    if not all(words in before or json.dumps(words)[1:-1] in before for words in said):
        raise BadRow("the chat template does not show what tools answer")
    return Rendered(text, ((start, end),))


def _called(message: Message) -> list[str]:
    """The names of the tools that an answer calls.

    Raises:
        BadRow: the calls are not in the usual form, `[{"function": {"name": ...}}]`.
    """
    try:
        return [
            str((call.get("function") or call)["name"]) for call in message.get("tool_calls", ())
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise BadRow("a tool call without a name") from error


def _shared(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def tokenise(tokenizer: Any, rendered: Sequence[Rendered]) -> list[Any]:
    """Each text's `tokenizers.Encoding`: ids, and where each token lies in the text."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # whoever used the tokenizer before may have left it cutting
    backend.no_padding()
    found: list[Any] = [None] * len(rendered)
    for is_plain in (False, True):
        places = [at for at, item in enumerate(rendered) if item.is_plain == is_plain]
        texts = [rendered[at].text for at in places]
        encodings = backend.encode_batch(texts, add_special_tokens=is_plain) if texts else []
        for at, encoding in zip(places, encodings, strict=True):
            found[at] = encoding
    return found


def label(rendered: Rendered, encoding: Any, longest: int, end: int | None) -> Example:
    """The row cut to `longest` tokens, with the tokens that begin inside a trained span.

    A plain text is closed with the token `end`, where the tokenizer did not.
    """
    ids = encoding.ids
    if rendered.is_plain:
        ids = ids if end is None or ids[-1:] == [end] else [*ids, end]
        spans: Spans = ((0, len(ids)),)
    else:
        spans = _inside(encoding, len(ids), rendered.spans)
    # Nothing precedes the first token: it is never predicted.
    spans = tuple((max(start, 1), stop) for start, stop in spans if stop > 1)
    kept = tuple((start, min(stop, longest)) for start, stop in spans if start < longest)
    return Example(array("i", ids[:longest]), kept, len(ids), _size(spans) - _size(kept))


def _size(spans: Spans) -> int:
    return sum(end - start for start, end in spans)


def _inside(encoding: Any, length: int, spans: Spans) -> Spans:
    """The runs of tokens whose first character lies in a span.

    Asked of the tokenizer only where a span begins and ends: a row has hundreds of tokens, and few
    answers.
    """
    found = []
    for start, end in spans:
        first = _token_at(encoding, range(start, end))
        last = _token_at(encoding, range(end - 1, start - 1, -1))
        if first is None or last is None:
            continue
        first += encoding.token_to_chars(first)[0] < start  # one that begins before the span
        while last + 1 < length and _begins_before(encoding, last + 1, end):
            last += 1  # one character may be several tokens
        if first <= last:
            found.append((first, last + 1))
    return tuple(found)


def _token_at(encoding: Any, characters: Iterable[int]) -> int | None:
    """The token of the first of `characters` that has one: some tokenizers drop spaces."""
    tokens = (encoding.char_to_token(place) for place in characters)
    return next((token for token in tokens if token is not None), None)


def _begins_before(encoding: Any, token: int, end: int) -> bool:
    place = encoding.token_to_chars(token)
    return place is not None and place[0] < end
