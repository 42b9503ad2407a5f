"""Rows turned into examples, a batch at a time; what cannot be one is told with its reason."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from lora_tui.core.presets import Preset
from lora_tui.engine.formats import BadRow, Message, Row, Shapes
from lora_tui.engine.masking import Example, Rendered, label, render, render_plain, tokenise
from lora_tui.engine.templates import ChatTemplate

_BATCH = 512

Numbered = tuple[int, Row]
Content = list[Message] | str


@dataclass(frozen=True, slots=True)
class Made:
    """A row that can be trained on: what it says, its text, and its tokens."""

    number: int
    row: Row
    content: Content
    rendered: Rendered
    encoding: Any
    example: Example


@dataclass(frozen=True, slots=True)
class Left:
    """A row that is left out, and why."""

    number: int
    reason: str
    row: Row
    length: int = 0


@dataclass(frozen=True, slots=True)
class _Text:
    number: int
    row: Row
    content: Content
    rendered: Rendered


class Reader:
    """Reads rows as a preset says."""

    def __init__(self, preset: Preset, shapes: Shapes, template: ChatTemplate) -> None:
        self.shapes, self.template = shapes, template
        self._longest = preset.model.max_seq_length
        self._data = preset.data

    def read(self, rows: Iterable[Numbered]) -> Iterator[Made | Left]:
        """What becomes of each row, in order of the batches.

        While one batch is tokenised, in Rust and without Python's lock, the next is rendered.
        """
        waiting: Future[list[Made | Left]] | None = None
        coming = iter(rows)
        with ThreadPoolExecutor(1, "tokenise") as pool:
            while batch := list(islice(coming, _BATCH)):
                texts: list[_Text] = []
                left: list[Left] = []
                for number, row in batch:
                    self._lay_out(number, row, texts, left)
                ahead = pool.submit(self._made, texts, left)
                if waiting is not None:
                    yield from waiting.result()
                waiting = ahead
            if waiting is not None:
                yield from waiting.result()

    def _lay_out(self, number: int, row: Row, texts: list[_Text], left: list[Left]) -> None:
        try:
            content = self.shapes.read(row)
            if isinstance(content, str):
                texts.append(_Text(number, row, content, render_plain(content)))
                return
            several = render(self.template, content, self._data.train_on)
            texts += [_Text(number, row, content, rendered) for rendered in several]
        except BadRow as reason:
            left.append(Left(number, str(reason), row))

    def _made(self, texts: list[_Text], left: list[Left]) -> list[Made | Left]:
        tokenizer = self.template.tokenizer
        encodings = tokenise(tokenizer, [text.rendered for text in texts])
        end = tokenizer.eos_token_id
        found: list[Made | Left] = [*left]
        for text, encoding in zip(texts, encodings, strict=True):
            example = label(text.rendered, encoding, self._longest, end)
            if reason := self._why_not(example):
                found.append(Left(text.number, reason, text.row, example.length))
            else:
                found.append(
                    Made(text.number, text.row, text.content, text.rendered, encoding, example)
                )
        return sorted(found, key=lambda item: item.number)

    def _why_not(self, example: Example) -> str | None:
        if example.truncated and self._data.too_long == "drop":
            return f"longer than model.max_seq_length = {self._longest}"
        if example.trained:
            return None
        if example.truncated:
            return f"its answer begins after model.max_seq_length = {self._longest}"
        return "no token to train"
