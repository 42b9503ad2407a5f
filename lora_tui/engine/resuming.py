"""What makes a resume exact, and a branch go by its own settings."""

from typing import Any

import torch
from trl import SFTTrainer

from lora_tui.engine.order import Order


class Resuming(SFTTrainer):
    """SFTTrainer whose resumed runs are equal to those that were never interrupted."""

    order: Order | None = None
    unlogged: tuple[Any, int] = (0.0, 0)
    """The losses summed since the last point of the chart, and the step of that point."""

    def take_unlogged(self, losses: float, since: int) -> None:
        """Let the next point of the chart count the steps before a resume too."""
        self._tr_loss = torch.tensor(losses, device=self.args.device)
        self._globalstep_last_logged = since

    def _maybe_log_save_evaluate(self, tr_loss: Any, *args: Any, **kwargs: Any) -> None:
        step = self.state.global_step
        is_point = step % self.args.logging_steps == 0
        self.unlogged = (0.0, step) if is_point else (tr_loss.clone(), self._globalstep_last_logged)
        super()._maybe_log_save_evaluate(tr_loss, *args, **kwargs)

    def _get_train_sampler(self, *args: Any, **kwargs: Any) -> Any:
        return self.order or super()._get_train_sampler(*args, **kwargs)

    def _run_epoch(self, *args: Any, epoch: int, **kwargs: Any) -> None:
        if self.order:  # the loader of a resumed epoch may hide it from its `set_epoch`
            self.order.set_epoch(epoch)
        super()._run_epoch(*args, epoch=epoch, **kwargs)

    def _init_training_state(self, max_steps: int, *args: Any, **kwargs: Any) -> Any:
        """Where a checkpoint stands; how often is logged and saved is the preset's, not its own."""
        found = super()._init_training_state(max_steps, *args, **kwargs)
        self.state.compute_steps(self.args, max_steps)
        return found

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Take what a checkpoint has learnt of the weights, and the preset's rates, not its own."""
        fresh = [
            {name: group[name] for name in ("initial_lr", "weight_decay")}
            for group in self.optimizer.param_groups
        ]
        super()._load_optimizer_and_scheduler(checkpoint)
        schedule: Any = self.lr_scheduler
        schedule.base_lrs = [one["initial_lr"] for one in fresh]
        schedule._last_lr = [
            rate * share(schedule.last_epoch)
            for rate, share in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
        ]
        groups = self.optimizer.param_groups
        for group, own, rate in zip(groups, fresh, schedule._last_lr, strict=True):
            group.update(own, lr=rate)
