"""A training run from preset to adapter, top to bottom."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lora_tui.core import branching, parameters, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.engine import checkpoints, data, job, machine, models, ranks
from lora_tui.engine.job import Job, TorchJob, with_torch
from lora_tui.engine.stopping import StopRequested


def main(folder: Path, *, resume: bool) -> int:
    """Train in a run directory; the exit code is 0 for finished and stopped, 1 for failed."""

    def work(begun: Job) -> None:
        models.read_ahead(begun.preset)
        checkpoint = _found(begun, resume=resume) if ranks.is_first() else None
        current = with_torch(begun, resumed_from=checkpoint[0] if checkpoint else None)
        if resume and not checkpoint:
            current.warn("There is no complete checkpoint to resume from, so the run begins again.")
        train(current, ranks.shared(checkpoint))

    return job.execute(folder, work, verb="resume" if resume else "train")


def _found(begun: Job, *, resume: bool) -> tuple[int, Path] | None:
    """The checkpoint to go on from, once what is no whole one is cleared away."""
    checkpoints.discard_broken(begun.run)
    begun_at = branching.origin(begun.run)
    goes_on = resume or begun_at is not None
    checkpoint = checkpoints.last_complete(begun.run) if goes_on else None
    if begun_at is not None and checkpoint is None:
        raise LoraTuiError(
            f"The checkpoint that this branch begins with, of step {begun_at.step:,}, is gone.",
            f"Branch again from {begun_at.of}.",
        )
    return checkpoint


def train(job: TorchJob, checkpoint: tuple[int, Path] | None) -> None:
    """Load, prepare, measure, fit, save, measure again."""
    from lora_tui.engine.evaluation import Evaluation
    from lora_tui.engine.report import Report
    from lora_tui.engine.saving import Result
    from lora_tui.engine.trainer import build

    preset, platform = job.preset, job.platform
    if checkpoint:
        job.progress["step"] = checkpoint[0]

    tokenizer = models.load_tokenizer(preset)
    begun_at = branching.origin(job.run)
    rows = data.prepare(preset, tokenizer, begun_at.ancestors(preset) if begun_at else ())
    job.progress["max_steps"] = rows.max_steps
    if checkpoint:
        _refuse_other_data(job, rows)
    if begun_at and rows.max_steps <= begun_at.step:
        raise LoraTuiError(
            f"This branch begins at step {begun_at.step:,} and would end at {rows.max_steps:,}.",
            "Branch again with a higher training.max_steps or training.num_train_epochs.",
        )
    job.emit("data", **rows.report)

    loaded = models.load(preset, platform)
    _tell_about(job, loaded, rows)
    if ranks.is_first():
        runs.add_to_info(
            job.run,
            versions=machine.versions(),
            device=machine.device_name(job.torch, platform.device),
            data_fingerprint=rows.report["fingerprint"],
            base_revision=loaded.revision,
        )

    report = Report(job, rows)
    trainer = build(
        preset=preset,
        platform=platform,
        model=loaded.model,
        tokenizer=tokenizer,
        rows=rows.train.examples,
        checkpoints=job.run.checkpoints,
        report=report,
        stages=rows.stages,
    )
    evaluation = Evaluation(job, trainer, rows)
    report.attach(trainer, evaluation)
    result = Result(job, loaded, trainer, tokenizer)

    if not checkpoint and ranks.is_first():
        result.keep_start()
    evaluation.begin(is_resumed=checkpoint is not None)
    with job.stop.deferred():
        ranks.wait()
        fit(trainer, rows.max_steps, checkpoint)
        if ranks.is_first():
            _conclude(job, trainer, report, evaluation, result)
        ranks.wait()  # one that left early would disturb the libraries of the others


def _conclude(job: TorchJob, trainer: Any, report: Any, evaluation: Any, result: Any) -> None:
    """Save the result, measure and describe it, and say that the run has ended."""
    report.keep_best()
    result.save()
    if not report.was_stopped:
        # Everything is saved: a request now only shortens the measuring.
        with suppress(StopRequested), job.stop.at_once():
            evaluation.measure_base()
            evaluation.measure(trainer.state.global_step, thorough=True)
    result.describe(report.figures(), evaluation.both_ends())
    ended = "stopped" if report.was_stopped else "finished"
    job.end(ended, **report.figures(), **result.figures())


def fit(trainer: Any, max_steps: int, checkpoint: tuple[int, Path] | None) -> None:
    """Train from the beginning or from a checkpoint.

    A checkpoint of the last step is only loaded: the trainer would take one step too many.
    """
    if checkpoint and checkpoint[0] >= max_steps:
        trainer.restore(checkpoint[1])
    else:
        trainer.train(resume_from_checkpoint=str(checkpoint[1]) if checkpoint else None)


def _refuse_other_data(job: Job, rows: data.Data) -> None:
    """A checkpoint counts rows: on other rows it would go on with something else, unsaid."""
    before = runs.read_info(job.run).get("data_fingerprint")
    if before is not None and before != rows.report["fingerprint"]:
        raise LoraTuiError(
            f"The data in {rows.report['source']} changed since this run began.",
            "Put it back as it was to resume, or start a new run on it.",
        )


def _tell_about(job: TorchJob, loaded: Any, rows: data.Data) -> None:
    """The `model` event, and what is odd about model or data."""
    preset = job.preset
    job.emit(
        "model",
        name=preset.model.name_or_path,
        revision=loaded.revision,
        method=preset.lora.method,
        dtype=loaded.dtype,
        quantised=preset.model.load_in_4bit,
        trainable_parameters=loaded.trainable_parameters,
        total_parameters=loaded.total_parameters,
    )
    for text in (*_about_rows(rows), *rows.template.warnings):
        job.warn(text)
    names = [name for name, _ in loaded.model.named_modules()]
    if missing := parameters.unmatched(names, preset.lora):
        job.warn(
            f"No layer is called {', '.join(missing)} (lora.target_modules); the rest is trained."
        )
    limit = getattr(loaded.model.config, "max_position_embeddings", None)
    if limit and rows.report["longest"] > limit:
        job.warn(
            f"Rows of up to {rows.report['longest']} tokens are longer than the {limit} that the "
            f"model was made for: set model.max_seq_length = {limit}."
        )


def _about_rows(rows: data.Data) -> Iterator[str]:
    """What of the data is not used, and what cannot be measured."""
    report = rows.report
    if dropped := report["dropped"]:
        reasons = ", ".join(f"{reason} ({number})" for reason, number in dropped.items())
        places = f" The first: {'; '.join(report['broken'][:3])}." if report["broken"] else ""
        yield (
            f"{sum(dropped.values()):,} of {report['read']:,} rows read are left out: "
            f"{reasons}.{places}"
        )
    if not rows.held_out.examples:
        yield (
            "No row is held out: whether it learns or only memorises cannot be seen, and "
            "training.eval_steps and training.early_stopping_patience do nothing."
        )
