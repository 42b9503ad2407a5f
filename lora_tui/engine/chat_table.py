"""Everybody who answers in a chat, on one base that stays loaded."""

import gc
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from lora_tui.core.chat import CANCELLED, MAX_NEW_TOKENS, MODEL_LIMIT
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member
from lora_tui.core.parameters import longest_of
from lora_tui.engine import data, failures, machine
from lora_tui.engine.chat_requests import Ask, Use
from lora_tui.engine.chat_stream import Writing
from lora_tui.engine.failures import Explanation
from lora_tui.engine.formats import BadRow
from lora_tui.engine.generation import Settings
from lora_tui.engine.job import TorchJob
from lora_tui.engine.resident import Resident

_ASK_LESS = (
    "The chat goes on. Begin a new conversation, lower max_new_tokens, or ask one at a time."
)
_LEAVE_OUT = "The others go on. End what else takes memory here, or leave another member out."


@dataclass(frozen=True, slots=True)
class _Row:
    """One prompt on its way to one member; `most` new tokens have room behind it."""

    id: str
    ids: list[int]
    most: int


class Table:
    """Answers requests; what one of them runs into is said, and the next is answered."""

    def __init__(self, job: TorchJob, members: Sequence[Member]) -> None:
        """Load the base and attach its adapters; whole models wait until they are asked.

        Raises:
            LoraTuiError: the base is not there, or broken.
        """
        began = time.perf_counter()
        self._job = job
        self._members = {member.id: member for member in members}
        self._resident = _loaded(job)
        self._current = BASE
        self._attached = {BASE}
        self._told: set[str] = set()
        model = job.preset.model
        self._limit = longest_of(model.name_or_path, model.revision)
        job.emit(
            "loaded",
            id=BASE,
            seconds=time.perf_counter() - began,
            dtype=self._resident.dtype,
            memory_bytes=machine.resident_memory(job.torch, job.platform.device),
        )
        for member in members:
            if member.method != "full":
                self._refusal(member.id)

    def do(self, request: Ask | Use) -> None:
        """Do what is asked for."""
        if isinstance(request, Ask):
            self._ask(request)
        elif request.id not in self._members:
            self._job.warn(f"Nobody here is called {request.id}.")
        elif self._refusal(request.id) is None:
            self._use(request.id, always=True)

    def _refusal(self, id_: str) -> Explanation | None:
        """Attach a member, if that is still to be done; why it cannot be, else None."""
        if id_ in self._attached:
            return None
        if id_ not in self._members:
            return f"Nobody here is called {id_}.", "Ask one of those that the chat began with."
        refusal = None
        try:
            attached = self._resident.attach(self._members[id_])
        except Exception as error:  # a broken adapter must not end the others' chat
            refusal = self._explained(error, _LEAVE_OUT)
        if refusal is not None:
            self._free()
            self._job.emit("refused", id=id_, summary=refusal[0], hint=refusal[1])
            return refusal
        self._attached.add(id_)
        self._job.emit(
            "attached",
            id=id_,
            milliseconds=1000 * attached.seconds,
            warnings=list(attached.warnings),
        )
        return None

    def _use(self, id_: str, *, always: bool = False) -> None:
        if always or id_ != self._current:
            self._job.emit("used", id=id_, milliseconds=self._resident.use(id_))
            self._current = id_

    def _ask(self, ask: Ask) -> None:
        self._job.emit("asked", number=ask.number, to=list(ask.to), prompt=ask.prompt)
        rows = [row for id_ in ask.to if (row := self._row(ask, id_))]
        for warning in self._resident.template.warnings:
            if warning not in self._told:
                self._told.add(warning)
                self._job.warn(warning)
        if rows and len(ask.to) == 1:
            self._use(rows[0].id)
        for group in [rows] if self._can_mix(rows, ask) else [[row] for row in rows]:
            self._answer(ask, group)

    def _row(self, ask: Ask, id_: str) -> _Row | None:
        """A member's conversation as token ids; None if it cannot be answered, which is said."""
        refusal = self._refusal(id_)
        if refusal is None:
            try:
                template = self._resident.template
                ids = data.prompt_ids(template, template.fitted(ask.messages[id_]))
            except BadRow as error:
                said = str(error)
                refusal = f"{said[0].upper()}{said[1:]}.", "Begin a new conversation."
            except Exception as error:  # templates run code of their own
                refusal = self._explained(error)
        most = ask.settings["max_new_tokens"]
        if refusal is None and self._limit is not None:
            most = min(most, self._limit - len(ids))
            if most < 1:
                refusal = (
                    f"The conversation has {len(ids):,} tokens, and the model was made for "
                    f"{self._limit:,} with the answer.",
                    "Begin a new conversation, or ask something shorter.",
                )
        if refusal is None:
            return _Row(id_, ids, most)
        self._unanswered(ask, id_, refusal)
        return None

    def _can_mix(self, rows: Sequence[_Row], ask: Ask) -> bool:
        """Whether one batch answers all, and each as it would alone.

        Where chance chooses, it must not depend on the others: those are asked one by one.
        """
        alike = len({row.most for row in rows}) == 1
        greedy = ask.settings["temperature"] == 0
        return len(rows) > 1 and alike and greedy and self._resident.can_mix([r.id for r in rows])

    def _answer(self, ask: Ask, rows: Sequence[_Row]) -> None:
        """Let one member answer, or several in one batch."""
        mixed = len(rows) > 1
        writings = [
            Writing(self._resident.tokenizer, partial(self._piece, ask, row.id)) for row in rows
        ]

        def take(tokens: Sequence[int | None]) -> None:
            for row, writing, token in zip(rows, writings, tokens, strict=True):
                if not writing.ended and not writing.take(token):
                    self._answered(ask, row, writing, mixed=mixed)

        failure = None
        try:
            if not ask.requested:
                self._resident.generate(
                    [row.ids for row in rows],
                    [row.id for row in rows],
                    Settings(**{**ask.settings, "max_new_tokens": rows[0].most}),
                    stop=ask,
                    on_tokens=take,
                )
        except Exception as error:  # out of memory above all: the next answer may have room
            failure = self._explained(error)
        if failure is not None:
            self._free()
        for row, writing in zip(rows, writings, strict=True):
            if writing.ended:
                continue
            if failure is not None:
                self._unanswered(ask, row.id, failure)
                continue
            writing.end(_why_ended(ask, row, len(writing.words.ids)))
            self._answered(ask, row, writing, mixed=mixed)

    def _piece(self, ask: Ask, id_: str, text: str) -> None:
        self._job.emit("piece", number=ask.number, id=id_, text=text)

    def _answered(self, ask: Ask, row: _Row, writing: Writing, *, mixed: bool) -> None:
        self._job.emit(
            "answered",
            number=ask.number,
            id=row.id,
            text=writing.words.text,
            tokens=len(writing.words.ids),
            seconds=writing.seconds,
            prompt_tokens=len(row.ids),
            ended=writing.ended,
            mixed=mixed,
        )

    def _unanswered(self, ask: Ask, id_: str, why: Explanation) -> None:
        summary, hint = why
        self._job.emit("unanswered", number=ask.number, id=id_, summary=summary, hint=hint)

    def _explained(self, error: Exception, hint: str = _ASK_LESS) -> Explanation:
        """An exception in words; the log has the whole of it."""
        trace = "".join(traceback.format_exception(error))
        print(failures.without_tokens(trace), file=sys.stderr, flush=True)
        if failures.is_out_of_memory(error):
            return "The memory was not enough for this.", hint
        summary, hint = failures.explain(error)
        return failures.without_tokens(summary), failures.without_tokens(hint)

    def _free(self) -> None:
        """Give back what a failure left behind; its exception must be gone by now."""
        gc.collect()
        if self._job.platform.on_gpu:
            self._job.torch.cuda.empty_cache()


def _loaded(job: TorchJob) -> Resident:
    """The base, in memory.

    Raises:
        LoraTuiError: it is not there, broken, or too large.
    """
    try:
        return Resident(job.preset, job.platform)
    except Exception as error:  # out of memory has many names
        if not failures.is_out_of_memory(error):
            raise
        raise LoraTuiError(
            f"The memory is not enough to load {job.preset.model.name_or_path}.",
            "End what else takes memory here, such as a run, and start the chat again.",
        ) from error


def _why_ended(ask: Ask, row: _Row, tokens: int) -> str:
    """Why an answer ended that did not end by itself."""
    if tokens < row.most:
        return CANCELLED
    return MAX_NEW_TOKENS if row.most == ask.settings["max_new_tokens"] else MODEL_LIMIT
