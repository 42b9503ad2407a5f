"""What a comparison measures of each member, on one base that stays loaded."""

import math
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member, base_changes
from lora_tui.core.parameters import read_base
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.core.scoring import score
from lora_tui.engine import common_rows, data, distances, failures
from lora_tui.engine.collate import pad_id
from lora_tui.engine.common_rows import Rows
from lora_tui.engine.evaluation import MOST_SCORED
from lora_tui.engine.formats import Message
from lora_tui.engine.generation import Settings
from lora_tui.engine.job import TorchJob
from lora_tui.engine.resident import Resident

_BATCH = 32  # greedy answers at once; of one that is drawn, chance must not depend on the others


@dataclass(slots=True)
class Group:
    """One base at work: its rows, what is asked of it, and what it answered itself.

    `answers` are the base's greedy ones, `said` those that were drawn as asked for.
    """

    resident: Resident
    rows: Rows | None
    prompts: list[list[int]]
    answers: list[list[int]] = field(default_factory=list)
    said: list[list[int]] = field(default_factory=list)


class Measuring:
    """Measures one base after another; all are asked the same."""

    def __init__(
        self,
        job: TorchJob,
        asked: Mapping[str, Any],
        candidates: Sequence[Preset],
        trained: Mapping[str, Preset],
    ) -> None:
        """Nothing is loaded yet.

        Args:
            job: Whose events tell what is found.
            asked: Prompts, numbers and settings, as `jobs.compare.Asked.document` gives them.
            candidates: Whose held-out rows may be measured on: the first that has some is taken.
            trained: What the runs, by their folders, were trained on.
        """
        self.job, self._asked = job, asked
        names = ("max_new_tokens", "temperature", "top_p", "seed")
        self._settings = Settings(**{name: asked[name] for name in names})
        self._candidates, self._trained = list(candidates), trained
        self._seen: set[bytes] | None = None
        self._questions: list[list[Message]] | None = None

    def measure(self, members: Sequence[Member]) -> None:
        """Measure a base and what was made from it; the base comes first."""
        try:
            group = self._open(members[0])
        except Exception as error:  # whatever a library raises is said of each of them
            for member in members:
                self._refuse(member, error)
            return
        for member in members:
            self.job.stop.check()
            try:
                self._measure(group, member)
            except Exception as error:  # one that is broken does not keep the others
                self._refuse(member, error)
            group.resident.detach(member.id)

    def _refuse(self, member: Member, error: Exception) -> None:
        print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
        text, hint = map(failures.without_tokens, failures.explain(error))
        self.job.emit("refused", id=member.id, summary=text, hint=hint)

    # --- a base, its rows and what it is asked -----------------------------------------------

    def _open(self, base: Member) -> Group:
        self._do(base, "loading the base")
        of_base = base_changes(base, self._trained.values(), on_gpu=self.job.platform.on_gpu)
        try:
            resident = Resident(changed(self.job.preset, dict(of_base)), self.job.platform)
        except LoraTuiError as error:
            raise LoraTuiError(
                f"Its base cannot be loaded: {error.summary}",
                "Put it back or fetch it; where it moved, correct base_model_name_or_path in "
                "adapter_config.json.",
            ) from error
        self.job.emit("loaded", id=base.id, dtype=resident.dtype)
        self._do(base, "reading held-out rows")
        rows = self._rows(resident, of_base)
        if self._questions is None:
            self._questions = self._ask(rows)
        prompts = [self._prompt(resident, asked) for asked in self._questions]
        return Group(resident, rows, prompts)

    @staticmethod
    def _prompt(resident: Resident, asked: list[Message]) -> list[int]:
        return data.prompt_ids(resident.template, resident.template.fitted(asked))

    def _rows(self, resident: Resident, of_base: Mapping[str, Any]) -> Rows | None:
        """Rows that were held out by the first preset that has some, and trained on by no run."""
        is_first = self._seen is None
        if self._seen is None:
            self._seen = common_rows.trained_on(self._trained, self.job.warn)
        rows = common_rows.first_common(
            self._candidates,
            of_base,
            resident.tokenizer,
            self._seen,
            most=int(self._asked["rows"]),
            warn=self.job.warn,
        )
        if is_first and rows:
            self.job.emit("held_out", **rows.figures)
        elif is_first:
            self.job.warn(
                "There is no row that was held out by one run and trained on by none: losses are "
                "not compared. A preset with other rows can be named (compare --data PRESET)."
            )
        return rows

    def _ask(self, rows: Rows | None) -> list[list[Message]]:
        """The prompts that were given, else the first held-out questions."""
        if given := self._asked["prompts"]:
            questions = [[{"role": "user", "content": text}] for text in given]
        else:
            number = int(self._asked["number"])
            questions = [asked for _, asked in rows.asked(number)] if rows else []
        if not questions:
            self.job.warn("Nothing is asked: give prompts (compare --prompts FILE).")
        self.job.emit("prompts", prompts=[asked[-1]["content"] for asked in questions])
        return questions

    # --- a member ----------------------------------------------------------------------------

    def _do(self, member: Member, what: str) -> None:
        self.job.emit("doing", id=member.id, what=what)

    def _tell(self, member: Member, **figures: Any) -> None:
        self.job.emit("measured", id=member.id, **figures)

    def _measure(self, group: Group, member: Member) -> None:
        self._do(member, "loading")
        resident = group.resident
        attached = resident.attach(member)
        for text in (*self._about(group, member), *attached.warnings):
            self.job.emit("noted", id=member.id, text=text)
        resident.use(member.id)
        self._tell(member, **self._sizes(group, member))
        if group.rows:
            self._do(member, "held-out loss")
            loss = distances.held_out_loss(
                resident.model, group.rows.examples, pad_id(resident.tokenizer), self.job.stop
            )
            self._tell(member, held_out_loss=loss, perplexity=math.exp(min(loss, 700.0)))
        if group.prompts and (member.method == BASE or group.answers):
            self._do(member, "answers")
            self._answer(group, member)
        if group.answers and member.method != BASE:
            self._do(member, "distance from the base")
            self._tell(member, kl_from_base=self._distance(group, member))
        if group.rows and group.rows.task:
            self._do(member, "task score")
            self._tell(member, scores=self._scores(group, member))

    def _about(self, group: Group, member: Member) -> Iterator[str]:
        preset = self._trained.get(member.run)
        in_4bit = group.resident.preset.model.load_in_4bit
        if preset and preset.model.load_in_4bit and not in_4bit:
            yield "It was trained on the base in 4 bits, and is measured on it in 16 or more."
        if group.rows and preset and preset.data.source != self._candidates[0].data.source:
            yield (
                f"It was trained on other data than the held-out rows, which are of "
                f"{group.rows.source}: its figures there say nothing of its own task."
            )
        if group.rows and not preset and member.method != BASE:
            yield "It was made elsewhere: whether it was trained on the held-out rows is not known."

    def _sizes(self, group: Group, member: Member) -> dict[str, Any]:
        if member.method == BASE:
            try:
                base = read_base(member.base, member.revision)
            except LoraTuiError:  # not as safetensors: nobody knows without loading
                return {"total_parameters": group.resident.model.num_parameters()}
            return {"base_bytes": base.bytes, "total_parameters": base.parameters}
        return group.resident.sizes(member.id)

    def _answer(self, group: Group, member: Member) -> None:
        """What it says, drawn as asked for; how many answers change is told by greedy ones."""
        made = self._generate(group, member, group.prompts, self._settings)
        likeliest = made
        if self._settings.temperature:
            greedy = Settings(self._settings.max_new_tokens)
            likeliest = self._generate(group, member, group.prompts, greedy)
        if member.method == BASE:
            group.answers, group.said = likeliest, made
        texts = group.resident.tokenizer.batch_decode(made, skip_special_tokens=True)
        for at, text in enumerate(texts):
            is_changed = made[at] != group.said[at]
            self.job.emit("output", prompt=at, id=member.id, text=text, changed=is_changed)
        if member.method != BASE:
            pairs = zip(likeliest, group.answers, strict=True)
            self._tell(member, changed_share=sum(a != b for a, b in pairs) / len(likeliest))

    def _generate(
        self, group: Group, member: Member, prompts: Sequence[Sequence[int]], settings: Settings
    ) -> list[list[int]]:
        size = 1 if settings.temperature else _BATCH
        made: list[list[int]] = []
        for start in range(0, len(prompts), size):
            asked = prompts[start : start + size]
            ids = [member.id] * len(asked)
            made += group.resident.generate(asked, ids, settings, stop=self.job.stop)
            self.job.stop.check()
        return made

    def _distance(self, group: Group, member: Member) -> float:
        """The mean KL(member || base) of next tokens, along what the base answered."""
        total, places = 0.0, 0
        for prompt, answer in zip(group.prompts, group.answers, strict=True):
            self.job.stop.check()
            group.resident.use(BASE)
            base = distances.next_tokens(group.resident.model, prompt, answer)
            group.resident.use(member.id)
            tuned = distances.next_tokens(group.resident.model, prompt, answer)
            total += distances.divergence(tuned, base)
            places += len(base)
        return total / places

    def _scores(self, group: Group, member: Member) -> dict[str, float] | None:
        rows, resident = group.rows, group.resident
        if rows is None or rows.task is None or not (asked := rows.asked(MOST_SCORED)):
            return None
        prompts = [data.prompt_ids(resident.template, question) for _, question in asked]
        longest = max(example.trained for example in rows.examples) + 8
        made = self._generate(group, member, prompts, Settings(longest))
        texts = resident.tokenizer.batch_decode(made, skip_special_tokens=True)
        return score(rows.task, texts, [row for row, _ in asked])
