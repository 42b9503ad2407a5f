"""What the trainer does, as events; and when it has to stop."""

import time
from contextlib import suppress
from typing import Any

from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from lora_tui.core import files, runs, text
from lora_tui.core.events import figure
from lora_tui.core.hardware import free_disk
from lora_tui.engine import ranks
from lora_tui.engine.data import Data
from lora_tui.engine.divergence import Diverged, DivergenceGuard
from lora_tui.engine.job import TorchJob

_MARGIN = 1 << 20  # bytes beside a checkpoint and the result: events, the model card
_LOOK = 0.1  # seconds between two looks whether a paused run may go on


class Report(TrainerCallback, ExportableState):
    """The trainer's only voice.

    Its counts go into every checkpoint (`state`), so that a resumed run counts on.
    """

    def __init__(self, job: TorchJob, data: Data) -> None:
        """Begin at step 0; `attach` follows once there is a trainer."""
        self.job, self.data = job, data
        self.was_stopped = False
        self._trainer: Any = None
        self._evaluation: Any = None
        self._guard = DivergenceGuard()
        self._seconds = 0.0
        self._tokens = self._trained_tokens = 0
        self._mark = time.perf_counter()
        self._best: float | None = None
        self._best_step = 0
        self._since_best = 0
        self._is_due = False

    def attach(self, trainer: Any, evaluation: Any) -> None:
        """Name the trainer whose steps are reported, and what measures between them."""
        self._trainer, self._evaluation = trainer, evaluation
        trainer.measure, trainer.pause = self._measure, self._pause
        trainer.best_step = lambda: self._best_step
        self._guard = DivergenceGuard(self._vocabulary)

    @property
    def _vocabulary(self) -> int:
        return int(self._trainer.model.config.get_text_config().vocab_size)

    # --- What survives in a checkpoint ---

    def state(self) -> dict[str, Any]:
        """What a resumed run has to know."""
        counts = {
            "seconds": self._seconds,
            "tokens": self._tokens,
            "trained_tokens": self._trained_tokens,
            "guard": self._guard.state,
            "best": self._best,
            "best_step": self._best_step,
            "since_best": self._since_best,
            "unlogged": self._unlogged(),
        }
        return {"args": {}, "attributes": counts}

    def _unlogged(self) -> tuple[float, int] | None:
        """What the next point of the chart is the mean of already; None where nobody trains."""
        if self._trainer is None:
            return None
        losses, since = self._trainer.unlogged
        return float(losses), since

    def recall(self, state: Any) -> None:
        """Go on from the counts in a checkpoint's trainer state."""
        saved = state.stateful_callbacks.get(type(self).__name__, {}).get("attributes", {})
        if not saved or not state.global_step:
            return
        self._seconds = saved["seconds"]
        self._tokens, self._trained_tokens = saved["tokens"], saved["trained_tokens"]
        if ranks.is_first():  # the others' own are added to these
            self._trainer.tokens = self._tokens
            self._trainer.trained_tokens = self._trained_tokens
        self._guard = DivergenceGuard(self._vocabulary, saved.get("guard"))
        self._best, self._best_step = saved["best"], saved["best_step"]
        self._since_best = saved["since_best"]
        if not (self.job.run.checkpoints / f"checkpoint-{self._best_step}").is_dir():
            self._best, self._best_step, self._since_best = None, 0, 0  # nothing to go back to
        if unlogged := saved.get("unlogged"):
            self._trainer.take_unlogged(*unlogged)

    # --- What the trainer calls ---

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Start the clock."""
        self.recall(state)
        self._mark = time.perf_counter()

    def on_step_end(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """Watch the loss, and decide what happens after this step."""
        # Waits for the device, so the clock is right.
        loss = ranks.mean(float(self._trainer.step_loss))
        self._tokens, self._trained_tokens, trained = self._counted()
        self._tick()
        step, training = state.global_step, self.job.preset.training
        self.job.progress["step"] = step
        if training.stop_on_divergence and ranks.is_first():
            try:
                self._guard.watch(step, loss, trained)
            except Diverged:
                self._emit_step(state, {"loss": loss})
                raise
        is_last = step >= state.max_steps
        if is_last:
            control.should_log = True
            self._is_due = bool(training.early_stopping_patience)
        else:
            self._is_due = bool(training.eval_steps) and step % training.eval_steps == 0
        control.should_evaluate = self._is_due or self._evaluation.owes_base
        self._heed_stop(control)

    def _counted(self) -> tuple[int, ...]:
        """The tokens so far, those trained so far, and those of this step, over all processes."""
        trainer = self._trainer
        counts = (trainer.tokens, trainer.trained_tokens, trainer.step_tokens)
        return tuple(map(int, ranks.total(*map(int, counts))))

    def _pause(self) -> bool:
        """Wait between two steps for as long as the run's `pause` is there, with all in memory.

        Whether a request to stop ended it: a checkpoint is still to be saved.
        """
        state, control = self._trainer.state, self._trainer.control
        if control.should_training_stop or state.global_step >= state.max_steps:
            return False
        if not ranks.shared(self.job.run.pause.exists()):
            return False
        self._tick()
        if ranks.is_first():
            self._wait(state.global_step)
        self._heed_stop(control)  # where the others wait for the first one
        self._mark = time.perf_counter()
        return self.was_stopped

    def _wait(self, step: int) -> None:
        began = time.monotonic()
        self.job.emit("paused", step=step)
        while self.job.run.pause.exists() and not self.job.stop.requested:
            time.sleep(_LOOK)
        waited = time.monotonic() - began
        self.job.emit("resumed", step=step, waited=waited)
        with suppress(OSError):  # for want of room: the events have it
            spent = figure(runs.read_info(self.job.run).get("spent")) or 0.0
            runs.add_to_info(self.job.run, spent=spent - waited)

    def _heed_stop(self, control: Any) -> None:
        """End after this step if asked to: with its point on the chart and a checkpoint."""
        if ranks.shared(self.job.stop.requested):
            self.was_stopped = self.was_stopped or self.job.progress["step"] < self.data.max_steps
            control.should_log = control.should_save = control.should_training_stop = True
            control.should_evaluate = False

    def on_log(self, args: Any, state: Any, _control: Any, logs: Any = None, **_: Any) -> None:
        """A point on the chart."""
        state.log_history.clear()  # events.jsonl has it; in every checkpoint it would only grow
        if not logs or "loss" not in logs:
            return
        self._tick()
        self._emit_step(state, logs)
        norm = logs.get("grad_norm")
        # The scaler of float16 meets infinities on purpose and skips those steps.
        if self.job.preset.training.stop_on_divergence and norm is not None and not args.fp16:
            self._guard.watch_norm(state.global_step, norm)

    def _emit_step(self, state: Any, logs: dict[str, Any]) -> None:
        self.job.emit(
            "step",
            step=state.global_step,
            epoch=state.epoch * self.data.train.share_read,
            loss=logs["loss"],
            learning_rate=logs.get("learning_rate"),
            grad_norm=logs.get("grad_norm"),
            tokens=self._tokens,
            trained_tokens=self._trained_tokens,
            seconds=self._seconds,
            memory_bytes=self.job.peak_memory(),
            max_steps=state.max_steps,
        )

    def _measure(self) -> None:
        """Held-out loss between two steps; may end the run for want of improvement.

        That of the base comes before all others.
        """
        state, control = self._trainer.state, self._trainer.control
        loss = ranks.shared(self._measured(state.global_step) if ranks.is_first() else None)
        self._evaluation.owes_base = False
        self._heed_stop(control)
        control.should_evaluate = False
        self._mark = time.perf_counter()
        patience = self.job.preset.training.early_stopping_patience
        if loss is None or not patience:
            return
        if self._best is None or loss < self._best:
            self._best, self._best_step, self._since_best = loss, state.global_step, 0
            control.should_save = True
            return
        self._since_best += 1
        if self._since_best >= patience:
            self.job.warn(
                f"Stopped early: the held-out loss has not improved since step {self._best_step} "
                f"(training.early_stopping_patience = {patience})."
            )
            control.should_save = control.should_training_stop = True

    def _measured(self, step: int) -> float | None:
        self._evaluation.measure_base()
        return self._evaluation.measure_quickly(step) if self._is_due else None

    def on_save(self, _args: Any, state: Any, control: Any, **_: Any) -> None:
        """A checkpoint is whole; if the disk would not take another one, the run ends on this."""
        too_large = ranks.shared(self._saved(state) if ranks.is_first() else None)
        self._mark = time.perf_counter()
        is_over = control.should_training_stop or state.global_step >= state.max_steps
        if too_large and not is_over:
            self.was_stopped = control.should_training_stop = True
            self.job.warn(
                f"Stopped before the disk is full: a checkpoint takes {text.size(too_large)}, and "
                "another one may not fit. Free some room and resume."
            )

    def _saved(self, state: Any) -> int:
        """Report a checkpoint; its bytes if the disk has no room for one more, else 0."""
        path = self.job.run.checkpoints / f"checkpoint-{state.global_step}"
        size = files.size_of(path)
        self.job.emit(
            "checkpoint",
            step=state.global_step,
            path=str(path.relative_to(self.job.run.path)),
            bytes=size,
        )
        result = sum(file.stat().st_size for file in path.glob("*.safetensors"))
        with suppress(OSError):  # a disk that cannot be asked
            # Old checkpoints are cleared after the new one is whole.
            return size if free_disk(path) < size + result + _MARGIN else 0
        return 0

    def _tick(self) -> None:
        """Count the time since the last tick as training."""
        now = time.perf_counter()
        self._seconds += now - self._mark
        self._mark = now

    # --- What is left at the end ---

    def keep_best(self) -> None:
        """After early stopping was asked for, go back to the weights that measured best."""
        state = self._trainer.state
        best = self.job.run.checkpoints / f"checkpoint-{self._best_step}"
        if (
            self.was_stopped
            or self._best is None
            or self._best_step == state.global_step
            or not best.is_dir()
        ):
            return
        self._trainer.load_weights(best)
        self.job.warn(f"The weights of step {self._best_step} are kept: they measured best.")

    def figures(self) -> dict[str, Any]:
        """What the final event says about speed and memory."""
        step, tokens = self.job.progress["step"], self._tokens
        return {
            "seconds_per_step": self._seconds / step if step else None,
            "tokens_per_second": tokens / self._seconds if self._seconds else None,
            "peak_memory_bytes": self.job.peak_memory(),
        }
