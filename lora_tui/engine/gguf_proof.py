"""Whether an exported file is the model it was made from: asked of llama.cpp, compared with torch.

See docs/export.md for what each figure means, and `core.export_limits` for what it is held to.
"""

import operator
import time
from pathlib import Path
from typing import Any

import torch

from lora_tui.core import export_limits
from lora_tui.core.proofs import Proof
from lora_tui.engine import export_source
from lora_tui.engine.export_reference import ANSWER, Reference
from lora_tui.engine.gguf_distance import Distance
from lora_tui.engine.gguf_text import ends_faults
from lora_tui.engine.job import TorchJob
from lora_tui.engine.llama import Broken, Llama

_AT_ONCE = 32  # places: several float32 copies of a large vocabulary's logits
_SHOWN = 2
_UNASKED = "llama.cpp loads the adapter; without a chat template its answers were not compared."


def prove(
    reference: Reference, file: Path, quant: str, *, job: TorchJob, adapter: Path | None = None
) -> Proof:
    """Compare a GGUF file with the model in torch.

    Args:
        reference: The model.
        file: The file; of an adapter alone, its base's, which it is applied to.
        quant: The type of `file`.
        job: Whose stop is heard.
        adapter: The file of an adapter alone.

    Raises:
        LoraTuiError: nothing can be said of any file: llama.cpp's packages are missing.
    """
    began = time.perf_counter()
    proving = _Proving(reference, job)
    try:
        proving.measure(file, adapter)
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

    def measure(self, file: Path, adapter: Path | None) -> None:
        """Ask all there is to ask.

        Raises:
            Broken: llama.cpp cannot load the file or work with it.
        """
        beside = None
        if adapter is not None:
            with Llama("llama-answers", file) as llama:
                llama.ask(open=self._longest, adapter=str(adapter))
                beside = [said["text"].strip() for said in self._asked(llama)]
            export_source.apply(adapter, file)
        with Llama("llama-logits", file) as llama:
            head = llama.ask(open=max(map(len, self.reference.rows)))
            self._compare_tokens(llama)
            self._compare_logits(llama, head["vocabulary"])
        ends = ends_faults(self.reference.ends, head, self.reference.resident.tokenizer)
        if not head["has_template"]:
            if beside is not None:
                self.figures["notes"] = [*self.figures.get("notes", ()), _UNASKED]
            self.figures["stops"] = not ends
            self.faults += ends
            if self.reference.has_template:
                self.figures["template_equal"] = False
                self.faults.append("It carries no chat template, and the model has one.")
            return
        with Llama("llama-answers", file) as llama:
            llama.ask(open=self._longest)
            self._compare_templates(llama, head)
            texts, ran_on = self._compare_answers(llama)
        apart = [pair for pair in zip(beside or (), texts, strict=False) if operator.ne(*pair)]
        if len(apart) > max(1, len(texts) // 2):  # one may fall to rounding
            with_file, in_weights = (text[:40] for text in apart[0])
            self.faults.append(
                "llama.cpp answers otherwise with the adapter beside its base than with its update "
                f"in the weights ({with_file!r} and {in_weights!r})."
            )
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

    def _compare_logits(self, llama: Llama, size: int) -> None:
        distance = Distance()
        for row in self.reference.logits():
            self.job.stop.check()
            if row.own.shape[-1] != size:
                self.faults.append(
                    f"It has a vocabulary of {size:,} tokens, the model of {row.own.shape[-1]:,}."
                )
                return
            follows = torch.tensor(row.ids[1:], device=row.own.device)
            llama.ask(ids=row.ids)
            for start in range(0, len(row.own), _AT_ONCE):
                part = slice(start, start + _AT_ONCE)
                own = row.own[part]
                said = torch.frombuffer(llama.bytes(own.numel() * 4), dtype=torch.float32)
                base = None if row.base is None else row.base[part]
                distance.add(own, said.view(own.shape).to(own.device), base, follows[part])
        self.figures |= {**distance.figures, "rows": len(self.reference.rows)}

    def _compare_templates(self, llama: Llama, head: dict[str, Any]) -> None:
        self.job.stop.check()
        conversations = self.reference.conversations
        said = llama.ask(render=conversations.messages)["prompts"]
        faults = conversations.faults(said, head["bos"])
        self.figures["template_equal"] = not faults
        self.faults += faults

    @property
    def _longest(self) -> int:
        """The most tokens of a conversation with its answer."""
        return self.reference.conversations.longest + 2 * ANSWER

    def _asked(self, llama: Llama) -> list[dict[str, Any]]:
        """The file's answers to what torch answered, with room for more where that had ended."""
        answers = self.reference.answers(self.job.stop)
        asked = [(one.messages, 2 * ANSWER if one.ended else ANSWER) for one in answers]
        return list(llama.ask(ask=asked)["answers"])

    def _compare_answers(self, llama: Llama) -> tuple[list[str], list[str]]:
        """The file's answers, and which of them ran on where torch's had ended."""
        shown, ran_on = [], []
        said = self._asked(llama)
        for answer, one in zip(self.reference.answers(self.job.stop), said, strict=True):
            own, file = answer.text.strip(), one["text"].strip()
            prompt = answer.messages[-1]["content"]
            shown.append({"prompt": prompt, "torch": own, "file": file})
            if answer.ended and own and file.startswith(own) and not one["ended"]:
                ran_on.append(f"It runs on where torch ends its answer ({own[-40:]!r}).")
        self.figures["answers"] = shown[:_SHOWN]
        self.figures["answers_equal"] = sum(one["torch"] == one["file"] for one in shown)
        return [one["file"] for one in shown], ran_on[:1]
