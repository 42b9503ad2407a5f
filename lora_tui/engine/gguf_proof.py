"""Whether an exported file is the model it was made from: asked of llama.cpp, compared with torch.

See docs/export.md for what each figure means, and `core.export_limits` for what it is held to.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from lora_tui.core import export_limits
from lora_tui.core.members import BASE, Member
from lora_tui.core.parameters import model_folder
from lora_tui.core.proofs import Proof
from lora_tui.engine import data, generation, probing
from lora_tui.engine.formats import Message
from lora_tui.engine.generation import Settings
from lora_tui.engine.gguf_distance import Distance
from lora_tui.engine.gguf_text import Conversations, Tokens, ends_faults
from lora_tui.engine.job import TorchJob
from lora_tui.engine.llama import Broken, Llama
from lora_tui.engine.resident import Resident
from lora_tui.engine.templates import ChatTemplate

PLACES = 2048
"""How many next tokens are compared, where there are as many: rows until it is reached."""

_BASE_PLACES = 683  # of them, where the base is computed too: a third of torch's work saved
_AT_ONCE = 64  # places: several float32 copies of a large vocabulary's logits
_OF_A_ROW = 512  # tokens: more rows say more than longer ones
_QUESTIONS = 3
_ANSWER = 48  # tokens: what a greedy answer is cut to
_SHOWN = 2


@dataclass(frozen=True, slots=True)
class Answer:
    """What torch answers to a question, and whether it ended by itself."""

    messages: list[Message]
    text: str
    ended: bool


class Reference:
    """The tuned model in torch, and what files are asked: made once for all files of an export."""

    def __init__(self, job: TorchJob, member: Member, has_rows: bool, rows: int) -> None:
        """Load the base and what is exported.

        Args:
            job: Whose preset names the base, in arithmetic that is exact.
            member: An adapter, a fully trained model, or a base itself.
            has_rows: Whether the preset's data is what it was trained for.
            rows: The most rows to ask about.

        Raises:
            LoraTuiError: one of them is broken.
        """
        self.resident = resident = Resident(job.preset, job.platform)
        self.has_template = not resident.template.warnings  # else it was given one just now
        self.id, self.has_base = member.id, member.method != BASE
        resident.attach(member)
        resident.use(member.id)
        if (own := _beside(member, resident.model)) is not None:
            resident.tokenizer, resident.template = own, ChatTemplate(own)
            self.has_template = True
        self.probes = probing.probes(job.preset, has_rows, resident.template, rows)
        self.tokens = Tokens(self.probes, resident.template)
        self.conversations = Conversations(self.probes, resident.template)
        self._answers: list[Answer] | None = None

    @property
    def rows(self) -> list[list[int]]:
        """Token ids to measure on, some of the first of each row."""
        found, places = [], 0
        for example in self.probes.examples:
            ids = list(example.input_ids[:_OF_A_ROW])
            if places < PLACES and len(ids) > 1:
                found.append(ids)
                places += len(ids) - 1
        return found

    @property
    def ends(self) -> list[int]:
        """The tokens at which the model ends an answer."""
        return generation.end_ids(self.resident.model, self.resident.tokenizer)

    @torch.no_grad()
    def logits(self, ids: Sequence[int], id_: str) -> torch.Tensor:
        """The logits behind each token of a row but the last."""
        self.resident.use(id_)
        model = self.resident.model
        given = torch.tensor([list(ids)], device=model.device)
        logits: torch.Tensor = model(input_ids=given, use_cache=False).logits[0, :-1]
        return logits

    def answers(self, stop: Any) -> list[Answer]:
        """Torch's greedy answers, computed once."""
        if self._answers is None:
            asked = self.conversations.messages[-_QUESTIONS:]
            prompts = [data.prompt_ids(self.resident.template, one) for one in asked]
            settings = Settings(_ANSWER)
            made = self.resident.generate(prompts, [self.id] * len(asked), settings, stop=stop)
            stop.check()  # else an answer that was cut short would count
            texts = self.resident.tokenizer.batch_decode(made, skip_special_tokens=True)
            self._answers = [
                Answer(messages, text, len(ids) < _ANSWER)
                for messages, text, ids in zip(asked, texts, made, strict=True)
            ]
        return self._answers


def _beside(member: Member, model: Any) -> Any:
    """The tokenizer that was saved with a member, where it brings a chat template that fits.

    A run saves the template it was trained with, which its base may lack.
    """
    folder = model_folder(member.path) or Path(member.path)
    if member.method == BASE or not (folder / "tokenizer.json").is_file():
        return None
    try:
        own = AutoTokenizer.from_pretrained(str(folder))
    except Exception:  # tokenizers raises bare exceptions; its base's serves, and is compared
        return None
    fits = len(own) <= model.get_input_embeddings().weight.shape[0]
    return own if own.chat_template and fits else None


def prove(reference: Reference, file: Path, quant: str, *, job: TorchJob) -> Proof:
    """Compare a GGUF file with the model in torch.

    Raises:
        LoraTuiError: nothing can be said of any file: llama.cpp's packages are missing.
    """
    began = time.perf_counter()
    proving = _Proving(reference, job)
    try:
        proving.measure(file)
    except Broken as error:
        proving.faults.append(error.summary)
    figures = {**proving.figures, "seconds": round(time.perf_counter() - began, 2)}
    return export_limits.verdict(quant, figures, proving.faults)


class _Proving:
    """One file's proof as it grows."""

    def __init__(self, reference: Reference, job: TorchJob) -> None:
        self.reference, self.job = reference, job
        self.figures: dict[str, Any] = {"source": reference.probes.source}
        self.faults: list[str] = []

    def measure(self, file: Path) -> None:
        """Ask all there is to ask.

        Raises:
            Broken: llama.cpp cannot load the file or work with it.
        """
        rows = self.reference.rows
        with Llama("llama-logits", file) as llama:
            head = llama.ask(open=max(map(len, rows)))
            self._compare_tokens(llama)
            self._compare_logits(llama, head, rows)
        ends = ends_faults(self.reference.ends, head, self.reference.resident.tokenizer)
        if not head["has_template"]:
            self.figures["stops"] = not ends
            self.faults += ends
            if self.reference.has_template:
                self.figures["template_equal"] = False
                self.faults.append("It carries no chat template, and the model has one.")
            return
        with Llama("llama-answers", file) as llama:
            llama.ask(open=self.reference.conversations.longest + 2 * _ANSWER)
            self._compare_templates(llama, head)
            ran_on = self._compare_answers(llama)
        self.figures["stops"] = not (ends or ran_on)
        self.faults += [*ends, *ran_on]

    def _compare_tokens(self, llama: Llama) -> None:
        self.job.stop.check()
        said = llama.ask(texts=self.reference.tokens.asked())["ids"]
        faults, notes = self.reference.tokens.faults(said)
        self.figures["token_ids_equal"] = not faults
        self.faults += faults
        if notes:
            self.figures["notes"] = notes

    def _compare_logits(self, llama: Llama, head: dict[str, Any], rows: list[list[int]]) -> None:
        distance, size = Distance(), head["vocabulary"]
        for ids in rows:
            self.job.stop.check()
            wants_base = self.reference.has_base and distance.base_places < _BASE_PLACES
            base = self.reference.logits(ids, BASE) if wants_base else None
            own = self.reference.logits(ids, self.reference.id)
            if own.shape[-1] != size:
                self.faults.append(
                    f"It has a vocabulary of {size:,} tokens, the model of {own.shape[-1]:,}."
                )
                return
            follows = torch.tensor(ids[1:], device=own.device)
            llama.ask(ids=ids)
            for start in range(0, len(own), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                said = torch.frombuffer(llama.bytes(own[part].numel() * 4), dtype=torch.float32)
                distance.add(
                    own[part],
                    said.view(own[part].shape).to(own.device),
                    None if base is None else base[part],
                    follows[part],
                )
        self.figures |= {**distance.figures, "rows": len(rows)}

    def _compare_templates(self, llama: Llama, head: dict[str, Any]) -> None:
        self.job.stop.check()
        conversations = self.reference.conversations
        said = llama.ask(render=conversations.messages)["prompts"]
        faults = conversations.faults(said, head["bos"])
        self.figures["template_equal"] = not faults
        self.faults += faults

    def _compare_answers(self, llama: Llama) -> list[str]:
        """Answers side by side, and which of the file's ran on where torch's had ended."""
        shown, ran_on = [], []
        for answer in self.reference.answers(self.job.stop):
            self.job.stop.check()
            most = 2 * _ANSWER if answer.ended else _ANSWER
            said = llama.ask(ask=answer.messages, most=most)
            own, file = answer.text.strip(), said["text"].strip()
            asked = answer.messages[-1]["content"]
            shown.append({"prompt": asked, "torch": own, "file": file})
            if answer.ended and own and file.startswith(own) and not said["ended"]:
                ran_on.append(f"It runs on where torch ends its answer ({own[-40:]!r}).")
        self.figures["answers"] = shown[:_SHOWN]
        self.figures["answers_equal"] = sum(one["torch"] == one["file"] for one in shown)
        return ran_on[:1]
