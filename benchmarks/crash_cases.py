"""What the program saves, for benchmarks/crash_states.py: how, and what its readers see of it."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from lora_tui.core import events, preset_files, queue, queue_order, runs
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import queue as jobs


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is saved in LORA_TUI_HOME, beside an older one that stands there already."""

    save: Callable[[], object]
    seen: Callable[[], Any]
    is_durable: bool = True
    """Whether no power cut takes it back once it is saved."""


def _run(name: str = "saved") -> Run:
    return next(run for run in runs.list_runs() if run.id.endswith(name))


def step() -> Case:
    """A line of events.jsonl."""
    return _event("step", is_durable=False)


def end() -> Case:
    """The line that ends a run: no power cut may take it back."""
    return _event("finished", is_durable=True)


def _event(kind: str, *, is_durable: bool) -> Case:
    run = runs.create(Preset(), name="saved")
    events.append(run.events, "step", step=1, loss=1.5, text="Zürich")

    def seen() -> Any:
        """The events, when another engine has gone on."""
        path = _run().events
        found, _ = events.read_new(path)
        size = path.stat().st_size
        events.append(path, "step", step=3)
        after, _ = events.read_new(path)
        os.truncate(path, size)
        assert after[: len(found)] == found and after[-1]["step"] == 3, (found, after)
        return {(one["kind"], one["step"], one.get("text")) for one in after[:-1]}

    return Case(
        lambda: events.append(run.events, kind, step=2, text='{"kind":"x"}\n"'),
        seen,
        is_durable,
    )


def preset() -> Case:
    """A preset of the user's, saved again."""
    preset_files.save(Preset(description="old"), "mine")

    def seen() -> Any:
        (one,) = [entry for entry in preset_files.list_presets() if not entry.shipped]
        return one.preset, one.problems

    return Case(lambda: preset_files.save(Preset(description="new"), "mine"), seen)


def info() -> Case:
    """`run.json`, with what became known later."""
    run = runs.create(Preset(), name="saved")
    return Case(
        lambda: runs.add_to_info(run, device="cpu"),
        lambda: runs.read_info(_run()),
    )


def run() -> Case:
    """A new run's folder."""
    runs.create(Preset(), name="older")

    def seen() -> Any:
        found = runs.list_runs()
        for one in found:
            preset_files.load(one.preset)
        return {runs.read_info(one)["name"] for one in found}

    return Case(lambda: runs.create(Preset(), name="newer"), seen)


def _queue(act: Callable[[Run], object], *, is_durable: bool = True) -> Case:
    for name in ("first", "second", "third"):
        queue.join(runs.create(Preset(), name=name), "train")
    second = _run("second")

    def seen() -> Any:
        return [
            (one.run.id, one.verb, one.held) for one in queue.waiting() if one.run.path.is_dir()
        ]

    return Case(lambda: act(second), seen, is_durable)


def join() -> Case:
    """A run that joins the queue."""
    case = _queue(lambda run: run)
    run = runs.create(Preset(), name="saved")
    return replace(case, save=lambda: queue.join(run, "train"))


def move() -> Case:
    """A run that is moved to the head of the queue."""
    return _queue(lambda run: queue_order.move(run, 1))


def crowded_move() -> Case:
    """A run that is moved between two whose positions leave no number between them."""
    case = _queue(lambda run: queue_order.move(run, 2))
    tickets = queue.waiting()
    for one, position in zip(tickets, (1.0, 1 + 2**-51, 1 + 2**-52), strict=True):
        queue.write(replace(one, position=position))
    return case


def hold() -> Case:
    """A run that is held."""
    return _queue(jobs.hold)


def leave() -> Case:
    """A run that leaves the queue."""
    return _queue(queue.leave, is_durable=False)


class Trained:
    """The demo trained for three steps, with a checkpoint of each and an adapter."""

    def __init__(self) -> None:
        from lora_tui.engine import data, environment, models
        from lora_tui.engine.evaluation import Evaluation
        from lora_tui.engine.job import Job, with_torch
        from lora_tui.engine.report import Report
        from lora_tui.engine.saving import Result
        from lora_tui.engine.stopping import Stopping
        from lora_tui.engine.trainer import build

        settings = ("lora.r=1", 'lora.target_modules=["q_proj"]', "model.dtype=float32")
        counts = ("max_steps=3", "save_steps=1", "per_device_train_batch_size=1")
        chosen = preset_files.with_settings(
            preset_files.find("demo"),
            [*settings, "engine.backend=transformers", *(f"training.{one}" for one in counts)],
        )
        run = runs.create(chosen, name="saved")
        environment.prepare(chosen)
        job = with_torch(Job(run=run, preset=chosen, stop=Stopping(lambda: None)))
        tokenizer = models.load_tokenizer(chosen)
        rows = data.prepare(chosen, tokenizer)
        loaded = models.load(chosen, job.platform)
        report = Report(job, rows)
        self.trainer = build(
            preset=chosen,
            platform=job.platform,
            model=loaded.model,
            tokenizer=tokenizer,
            rows=rows.train.examples,
            checkpoints=run.checkpoints,
            report=report,
        )
        report.attach(self.trainer, Evaluation(job, self.trainer, rows))
        self.result = Result(job, loaded, self.trainer, tokenizer)
        self.trainer.train()
        self.result.save()

    def move_on(self) -> None:
        """Weights and step that no saved file has."""
        for weight in self.trainer.model.parameters():
            if weight.requires_grad:
                weight.data += 1
        self.trainer.state.global_step = 4


def checkpoint() -> Case:
    """A third checkpoint, which lets the first one go."""
    from lora_tui.engine import checkpoints

    trained = Trained()
    trained.move_on()
    whole: dict[int, Any] = {}

    def seen() -> Any:
        """What is listed, then what a resume finds; each of them as it was saved."""
        run = _run()
        for number in runs.checkpoint_steps(run):
            path = run.checkpoints / f"checkpoint-{number}"
            assert checkpoints.is_whole(path, number), path
            assert whole.setdefault(number, _digest(path)) == _digest(path), path
        checkpoints.discard_broken(run)
        found = checkpoints.last_complete(run)
        assert found is not None
        left = {path.name.rpartition("-")[0] for path in run.checkpoints.iterdir()}
        assert left == {"checkpoint"}, left
        return found[0]

    return Case(partial(trained.trainer._save_checkpoint, trained.trainer.model, None), seen)


def adapter() -> Case:
    """An adapter in the place of an older one."""
    trained = Trained()
    trained.move_on()
    return Case(trained.result.save, lambda: _digest(_run().adapter))


def first_adapter() -> Case:
    """An adapter where there was none."""
    import shutil

    trained = Trained()
    shutil.rmtree(_run().adapter)
    return Case(trained.result.save, lambda: _digest(_run().adapter))


def _digest(folder: Path) -> dict[str, str]:
    return {
        path.name: sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("[!.]*"))
    }


CASES: dict[str, Callable[[], Case]] = {
    one.__name__: one
    for one in (
        *(step, end, preset, info, run, join, move, crowded_move, hold, leave),
        *(checkpoint, adapter, first_adapter),
    )
}
