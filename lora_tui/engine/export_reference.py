"""The tuned model in torch: what every file of an export is held against, computed once for all."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.hardware import free_disk
from lora_tui.core.members import BASE, Member
from lora_tui.core.parameters import model_folder
from lora_tui.engine import data, distances, generation, models, own_tokenizer, probing
from lora_tui.engine.exact import Exact
from lora_tui.engine.formats import Message
from lora_tui.engine.generation import Settings
from lora_tui.engine.gguf_text import Conversations, Tokens
from lora_tui.engine.job import TorchJob
from lora_tui.engine.resident import Resident
from lora_tui.engine.templates import ChatTemplate

PLACES = 2000
"""How many next tokens are compared, where there are as many: rows until it is reached."""

KEPT = ".logits"
"""The file in the export's folder that holds the logits for as long as they are needed."""

ANSWER = 32
"""Tokens: what a greedy answer is cut to."""

_BASE = 3  # at each third place the base is computed too: that says enough, and saves torch work
_OF_A_ROW = 512  # tokens: more rows say more than longer ones
_LOGITS = 1 << 24  # computed at once: 64 MB, or those of one row
_QUESTIONS = 3
_ROOM = 5  # how many times the size of the logits has to be free on the disk to keep them there


@dataclass(frozen=True, slots=True)
class Row:
    """The logits behind each token of a row but the last, shape (places, vocabulary).

    `base` are those without the adapter, where they are measured too.
    """

    ids: Sequence[int]
    own: torch.Tensor
    base: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What torch answers to a question, and whether it ended by itself."""

    messages: list[Message]
    text: str
    ended: bool


class Reference:
    """What is exported, in torch, and what its files are asked.

    The weights stay in the number format of their files; arithmetic is in float32.
    """

    def __init__(self, job: TorchJob, member: Member, has_rows: bool, rows: int) -> None:
        """Load the base and what is exported.

        Args:
            job: Whose preset names the base, and in whose folder logits are kept.
            member: An adapter, a fully trained model, or a base itself.
            has_rows: Whether the preset's data is what it was trained for.
            rows: The most rows to ask about.

        Raises:
            LoraTuiError: one of them is broken, or there is nothing to measure on.
        """
        self._job = job
        stored = models.load_stored(job.preset, job.platform).to(job.platform.device)
        self.resident = resident = Resident(job.preset, job.platform, stored)
        self.has_template = not resident.template.warnings  # else it was given one just now
        self.id, self._has_base = member.id, member.method != BASE
        resident.attach(member)
        resident.use(member.id)
        if (own := self._beside(member)) is not None:
            resident.tokenizer, resident.template = own, ChatTemplate(own)
            self.has_template = True
        self.probes = probing.probes(job.preset, has_rows, resident.template, rows)
        self.tokens = Tokens(self.probes, resident.template)
        self.conversations = Conversations(self.probes, resident.template)
        most = _LOGITS // self._vocabulary
        self._batches = list(distances.batches(_of(self.probes), len, most))
        if not self._batches:
            raise LoraTuiError("There is nothing to measure on: no row has two tokens.", "")
        self._kept = _Kept(job.run.path / KEPT)
        self._answers: list[Answer] | None = None

    def _beside(self, member: Member) -> Any:
        """The tokenizer that was saved with a member, where it brings a chat template.

        A run saves the template it was trained with, which its base may lack.
        """
        folder = model_folder(member.path) or Path(member.path)
        try:
            own = own_tokenizer.read(folder, self._vocabulary) if member.method != BASE else None
        except LoraTuiError:  # the base's serves, and is compared
            return None
        return own if own is not None and own.chat_template else None

    @property
    def rows(self) -> list[list[int]]:
        """Token ids that are measured on, those of few tokens first."""
        return [ids for rows in self._batches for ids in rows]

    @property
    def ends(self) -> list[int]:
        """The tokens at which the model ends an answer."""
        return generation.end_ids(self.resident.model, self.resident.tokenizer)

    def logits(self) -> Iterator[Row]:
        """Those of each row: torch's at first, then what the disk holds of them."""
        if self._kept.is_whole:
            return self._kept.read(self.resident.model.device)
        size = 4 * sum(map(len, self.rows)) * self._vocabulary
        if free_disk(self._job.run.path) < _ROOM * size:
            return self._computed()
        return self._kept.write(self._computed())

    def answers(self, stop: Any) -> list[Answer]:
        """Torch's greedy answers, computed once."""
        if self._answers is None:
            asked = self.conversations.messages[-_QUESTIONS:]
            prompts = [data.prompt_ids(self.resident.template, one) for one in asked]
            with Exact():
                made = self.resident.generate(
                    prompts, [self.id] * len(asked), Settings(ANSWER), stop=stop
                )
            stop.check()  # else an answer that was cut short would count
            texts = self.resident.tokenizer.batch_decode(made, skip_special_tokens=True)
            self._answers = [
                Answer(messages, text, len(ids) < ANSWER)
                for messages, text, ids in zip(asked, texts, made, strict=True)
            ]
        return self._answers

    def close(self) -> None:
        """Give back the room on the disk."""
        self._kept.remove()

    @property
    def _vocabulary(self) -> int:
        return int(self.resident.model.get_input_embeddings().weight.shape[0])

    def _computed(self) -> Iterator[Row]:
        for number, rows in enumerate(self._batches):
            self._job.stop.check()
            own = self._forward(rows, self.id)
            wants_base = self._has_base and number % _BASE == 0
            base = self._forward(rows, BASE) if wants_base else None
            for at, ids in enumerate(rows):
                part = slice(0, len(ids) - 1)
                yield Row(ids, own[at, part], None if base is None else base[at, part])

    @torch.no_grad()
    def _forward(self, rows: Sequence[Sequence[int]], id_: str) -> torch.Tensor:
        """Logits of several rows, shape (rows, tokens of the longest, vocabulary).

        What is filled up stands behind a row, where no token of it looks.
        """
        self.resident.use(id_)
        model = self.resident.model
        longest = max(map(len, rows))
        given = [[*ids, *[0] * (longest - len(ids))] for ids in rows]
        with Exact():
            answer = model(input_ids=torch.tensor(given, device=model.device), use_cache=False)
        logits: torch.Tensor = answer.logits
        return logits


def _of(probes: probing.Probes) -> Iterator[list[int]]:
    """Token ids to measure on, some of the first of each row."""
    places = 0
    for example in probes.examples:
        ids = list(example.input_ids[:_OF_A_ROW])
        if places < PLACES and len(ids) > 1:
            yield ids
            places += len(ids) - 1


class _Kept:
    """Rows that were computed, on the disk: memory is what the next file needs."""

    def __init__(self, path: Path) -> None:
        """Nothing is kept yet."""
        self._path = path
        self._rows: list[tuple[Sequence[int], tuple[int, ...], bool]] = []
        self.is_whole = False

    def write(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass them on and keep them; whole once all were asked for and the disk took them."""
        self._rows, is_kept = [], True
        with self._path.open("wb") as file:
            for row in rows:
                self._rows.append((row.ids, tuple(row.own.shape), row.base is not None))
                try:
                    for logits in (row.own, row.base) if is_kept else ():
                        if logits is not None:
                            logits.cpu().numpy().tofile(file)
                except OSError:
                    is_kept = False
                    file.truncate(0)  # who filled the disk may need the room more
                yield row
        self.is_whole = is_kept

    def read(self, device: Any) -> Iterator[Row]:
        """What was written."""
        with self._path.open("rb") as file:

            def one(shape: tuple[int, ...]) -> torch.Tensor:
                found = np.fromfile(file, np.float32, math.prod(shape))
                return torch.from_numpy(found).view(shape).to(device)

            for ids, shape, has_base in self._rows:
                yield Row(ids, one(shape), one(shape) if has_base else None)

    def remove(self) -> None:
        """Give back the room."""
        self.is_whole = False
        self._path.unlink(missing_ok=True)
