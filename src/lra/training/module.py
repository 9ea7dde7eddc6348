"""The Lightning module: loss, metrics and optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy

from lra.config import Optimizer, Scheduler
from lra.data.spec import Batch
from lra.models.classifier import Classifier
from lra.models.state import check_groups, check_order, same_version
from lra.training.optim import group_label, make_optimizer, make_scheduler

CHECKPOINT = (
    "The checkpoint",
    "Restore the code that wrote it, or train the run anew: force=true does, and discards its checkpoints.",
)


class Mean(Metric):
    """Mean over the samples of all processes. Unlike that of torchmetrics it never waits for the device."""

    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        for state in ("total", "count"):
            self.add_state(state, torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, mean: Tensor, n: float) -> None:
        """The mean of `n` samples."""
        self.total += mean.detach() * n
        self.count += n

    def add(self, total: Tensor, count: Tensor) -> None:
        """What another mean has counted."""
        self.total, self.count = self.total + total.to(self.total), self.count + count.to(self.count)

    def compute(self) -> Tensor:
        return self.total / self.count


class StandardError(Metric):
    """Standard error of an RMSE r by test sampling: std(e²) / (2 r √n), e the error of a sample (delta method)."""

    count: Tensor
    squares: Tensor
    fourth_powers: Tensor

    def __init__(self) -> None:
        super().__init__()
        for state in ("count", "squares", "fourth_powers"):
            self.add_state(state, torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, errors: Tensor) -> None:
        """The errors (B,) of a batch."""
        squares = errors.detach().double().square()
        self.count += len(squares)
        self.squares += squares.sum()
        self.fourth_powers += squares.square().sum()

    def compute(self) -> Tensor:
        mean = self.squares / self.count
        variance = (self.fourth_powers / self.count - mean.square()).clamp(min=0)
        return torch.where(mean > 0, (variance / (4 * mean * self.count)).sqrt(), 0.0)


class SequenceModule(pl.LightningModule):
    """Trains a classifier (cross entropy, accuracy) or a regression (squared error, RMSE)."""

    def __init__(self, model: Classifier, optimizer: Optimizer, scheduler: Scheduler) -> None:
        super().__init__()
        self.model, self.spec = model, model.spec
        self.optimizer_config, self.scheduler_config = optimizer, scheduler
        self.train_loss, self.val_loss, self.test_loss = Mean(), Mean(), Mean()  # over the epoch so far
        self.val_metric, self.test_metric = self._metric(), self._metric()
        self.standard_error = StandardError()
        self.call: Callable[..., Tensor] = model.__call__  # or a replay of it: lra.training.graphs
        self.rate = 1.0  # multiplies Δ, for signals sampled at another rate than in training
        self.plateau: ReduceLROnPlateau | None = None

    def _metric(self) -> Metric:
        if self.spec.metric == "rmse":
            return MeanSquaredError(squared=False)
        return MulticlassAccuracy(self.spec.outputs, average="micro")

    def forward(self, batch: Batch) -> Tensor:
        return self.call(batch.x, batch.lengths, self.rate)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        if self.spec.metric == "rmse":
            return F.mse_loss(outputs.squeeze(-1), y)
        return F.cross_entropy(outputs, y)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(self(batch), batch.y)
        self.train_loss.update(loss, len(batch.y))
        self.log("train/loss", loss, on_step=True, on_epoch=False, batch_size=len(batch.y))
        self.log("train/loss_epoch", self.train_loss, on_step=False, on_epoch=True)
        return loss

    def on_train_epoch_start(self) -> None:  # not called when a run resumes within an epoch
        self.train_loss.reset()

    def validation_step(self, batch: Batch, _: int) -> None:
        self._evaluate(batch, "val", self.val_metric, self.val_loss)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        outputs = self._evaluate(batch, "test", self.test_metric, self.test_loss)
        if self.spec.metric == "rmse":
            self.standard_error.update(outputs.squeeze(-1) - batch.y)
            self.log("test/standard_error", self.standard_error, on_step=False, on_epoch=True, batch_size=len(batch.y))

    def _evaluate(self, batch: Batch, split: str, metric: Metric, mean: Mean) -> Tensor:
        outputs, n = self(batch).float(), len(batch.y)
        metric.update(outputs.squeeze(-1) if self.spec.metric == "rmse" else outputs, batch.y)
        mean.update(self.loss(outputs, batch.y), n)
        log = partial(self.log, on_step=False, on_epoch=True, batch_size=n)
        log(f"{split}/{self.spec.metric}", metric)
        log(f"{split}/loss", mean)
        log(f"{split}/n", float(n), reduce_fx="sum", sync_dist=True)
        return outputs

    def load_state_dict(self, state_dict: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        """Raises UserError for the weights of another version of the model."""
        with same_version(self, state_dict, *CHECKPOINT):
            return super().load_state_dict(state_dict, *arguments, **options)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Raises UserError where the optimizer would go on with the moments of other parameters."""
        check_order(self, checkpoint["state_dict"], *CHECKPOINT)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = make_optimizer(self.model, self.optimizer_config)
        optimizer.register_load_state_dict_pre_hook(lambda own, state: check_groups(own, state, *CHECKPOINT))
        self.groups = [group_label(group) for group in optimizer.param_groups]
        scheduler = make_scheduler(optimizer, self.scheduler_config, self.spec.higher_is_better)
        if isinstance(scheduler, ReduceLROnPlateau):
            self.plateau = scheduler
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the gradient's norm, before it is clipped, and the rate of each group, with the loss."""
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]  # set, but not declared
        if (self.trainer.global_step + 1) % every:
            return
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in parameters if p.grad is not None]
        self.log("train/gradient_norm", torch.nn.utils.get_total_norm(gradients))
        for label, group in zip(self.groups, optimizer.param_groups, strict=True):
            self.log(f"rate of {label}", group["lr"])

    def on_validation_epoch_end(self) -> None:
        # Lightning steps epoch schedules after it has saved the epoch's checkpoint, which loses the step on
        # resuming; so the plateau is stepped and saved here.
        if self.plateau is not None and not self.trainer.sanity_checking:
            self.plateau.step(self.trainer.callback_metrics[f"val/{self.spec.metric}"].item())
