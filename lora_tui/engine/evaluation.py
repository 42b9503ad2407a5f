"""How good the model is on rows it was not trained on: loss, task scores, and a sample."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from lora_tui.core import branching, events
from lora_tui.core.events import Event, whole
from lora_tui.core.platforms import CHANGES_BASE
from lora_tui.core.scoring import score
from lora_tui.engine import ranks
from lora_tui.engine.data import Data, prompt_of
from lora_tui.engine.generation import answer
from lora_tui.engine.job import TorchJob
from lora_tui.engine.stopping import StopRequested

SAMPLE_TOKENS = 48
MOST_SCORED = 128
_BATCH = 64


class Evaluation:
    """Measures on the held-out rows."""

    def __init__(self, job: TorchJob, trainer: Any, data: Data) -> None:
        """Measure `trainer`'s model on `data`'s held-out part."""
        self.job, self.trainer, self.data = job, trainer, data
        self.owes_base = False
        """Whether the base is still to be measured, after the next step."""

    def begin(self, *, is_resumed: bool) -> None:
        """Measure the base where the first step changes it; else let that step come first.

        Under an adapter the base stays as it is, and can be measured at any time.

        Raises:
            StopRequested: somebody does not want to wait for it.
        """
        lora = self.job.preset.lora
        stays = (
            lora.method == "lora"
            and lora.bias == "none"
            and lora.init_lora_weights not in CHANGES_BASE
        )
        if not (stays or is_resumed) and ranks.is_first():
            self.measure(0, thorough=True)
        owes = stays and bool(self.data.held_out.examples)
        self.owes_base = ranks.shared(owes and not (is_resumed and self._has_base()))

    def _has_base(self) -> bool:
        """Whether the base was measured since the run began, or began anew."""
        found = False
        for event in self._reported("started", "eval"):
            begins = event["kind"] == "started" and not event.get("resumed_from")
            found = not begins and (found or event.get("step") == 0)
        return found

    def measure_base(self) -> None:
        """The base as it was at step 0, if that is still owed and nobody wants to stop."""
        if self.owes_base:
            with suppress(StopRequested), self.trainer.model.disable_adapter():
                self.measure(0, thorough=True)

    def measure(self, step: int, *, thorough: bool = False) -> float | None:
        """The held-out loss at `step`, as an event; thorough adds task scores and a sample.

        Raises:
            StopRequested: somebody does not want to wait for it.
        """
        rows = self.data.held_out
        if not rows.examples:
            return None
        loss = self.trainer.held_out_loss(rows.examples, self.job.stop)
        figures: dict[str, Any] = {
            "step": step,
            "loss": loss,
            "perplexity": math.exp(min(loss, 700.0)),
            "rows": len(rows.examples),
        }
        if thorough:
            with self._answering():
                figures["scores"] = self._scores()
                self._sample(step)
        self.job.emit("eval", **figures)
        return loss

    def measure_quickly(self, step: int) -> float | None:
        """The held-out loss between two steps; None when a stop request cuts it short."""
        try:
            return self.measure(step)
        except StopRequested:
            return None

    def _scores(self) -> dict[str, float] | None:
        """How well greedy answers to held-out questions keep to the task; None without a task."""
        if self.data.task is None:
            return None
        rows = self.data.held_out.rows[:MOST_SCORED]
        asked = [(row, prompt[1]) for row in rows if (prompt := prompt_of(self.data, row))]
        if not asked:
            return None
        texts = self._answer([ids for _, ids in asked], self._longest_answer())
        return score(self.data.task, texts, [row for row, _ in asked])

    def _longest_answer(self) -> int:
        """Room for the longest right answer, and a little more to run on into."""
        return max(example.trained for example in self.data.held_out.examples) + 8

    def _sample(self, step: int) -> None:
        """What the model says to one held-out question, beside what the base said to it."""
        prompt = prompt_of(self.data, self.data.held_out.rows[0])
        if prompt is None:
            return
        question, ids = prompt
        text = self._answer([ids], SAMPLE_TOKENS)[0]
        if step:
            self.job.emit("sample", step=step, prompt=question, base=self._base_said(), tuned=text)
        else:
            self.job.emit("sample", step=step, prompt=question, base=text)

    def _base_said(self) -> str | None:
        """What the untouched base answered when the run began, perhaps in another process."""
        said = (event for event in self._reported("sample") if event.get("step") == 0)
        return next(said, {}).get("base")

    def both_ends(self) -> list[Event]:
        """The first and the latest measurement: over all processes, and what it branched from."""
        measured = list(self._reported("eval"))
        return measured[:1] + measured[1:][-1:]

    def _reported(self, *kinds: str) -> Iterator[Event]:
        for run, left in branching.line(self.job.run):
            for batch in events.batches(run.events):
                for event in batch:
                    is_own = left is None or (whole(event.get("step")) or 0) <= left
                    if event["kind"] in kinds and is_own:
                        yield event

    def _answer(self, prompts: Sequence[Sequence[int]], most_new: int) -> list[str]:
        tokenizer = self.data.template.tokenizer
        return answer(
            self.trainer.model,
            tokenizer,
            prompts,
            most_new=most_new,
            batch=_BATCH,
            stop=self.job.stop,
        )

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """The model in the mode that generates, and back in the one that trains."""
        model, platform = self.trainer.model, self.job.platform
        fast = platform.backend == "unsloth" and platform.on_gpu
        if fast:  # Unsloth swaps its kernels for generating
            from unsloth import FastLanguageModel

            FastLanguageModel.for_inference(model)
        model.eval()
        try:
            with self.trainer.accelerator.autocast():
                yield
        finally:
            if fast:
                checkpointing = self.job.preset.training.gradient_checkpointing
                FastLanguageModel.for_training(model, use_gradient_checkpointing=checkpointing)
            model.train()
