"""The Lightning module: loss, metrics, optimiser, and the state that makes a resumed run exact."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torchmetrics import MeanSquaredError, Metric
from torchmetrics.classification import MulticlassAccuracy

from lra.config import Optimizer, Scheduler
from lra.data.spec import Batch
from lra.models.classifier import Classifier
from lra.training.optim import make_optimizer, make_scheduler


class SequenceModule(pl.LightningModule):
    """Trains a classifier (cross entropy, accuracy) or a regression (squared error, RMSE)."""

    def __init__(self, model: Classifier, optimizer: Optimizer, scheduler: Scheduler) -> None:
        super().__init__()
        self.model, self.spec = model, model.spec
        self.optimizer_config, self.scheduler_config = optimizer, scheduler
        self.metrics = torch.nn.ModuleDict({f"{split}_metric": self._metric() for split in ("val", "test")})
        self.plateau: ReduceLROnPlateau | None = None
        self._restored: dict[str, Any] = {}

    def _metric(self) -> Metric:
        if self.spec.metric == "rmse":
            return MeanSquaredError(squared=False)
        return MulticlassAccuracy(self.spec.outputs, average="micro")

    def forward(self, batch: Batch) -> Tensor:
        return self.model(batch.x, batch.lengths)

    def loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        if self.spec.metric == "rmse":
            return F.mse_loss(outputs.squeeze(-1), y)
        return F.cross_entropy(outputs, y)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        loss = self.loss(self(batch), batch.y)
        self.log("train/loss", loss, on_step=True, on_epoch=True, batch_size=len(batch.y))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        self._evaluate(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, "test")

    def _evaluate(self, batch: Batch, split: str) -> None:
        outputs, n = self(batch).float(), len(batch.y)
        metric = self.metrics[f"{split}_metric"]
        metric.update(outputs.squeeze(-1) if self.spec.metric == "rmse" else outputs, batch.y)
        self.log(f"{split}/loss", self.loss(outputs, batch.y), on_epoch=True, batch_size=n)
        self.log(f"{split}/{self.spec.metric}", metric, on_epoch=True, batch_size=n)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = make_optimizer(self.model, self.optimizer_config)
        scheduler = make_scheduler(optimizer, self.scheduler_config, self.spec.higher_is_better)
        if isinstance(scheduler, ReduceLROnPlateau):
            self.plateau = scheduler
            return {"optimizer": optimizer}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_validation_epoch_end(self) -> None:
        # Lightning steps epoch schedules after it has saved the epoch's checkpoint, which loses the step on
        # resuming; so the plateau is stepped and saved here.
        if self.plateau is not None and not self.trainer.sanity_checking:
            self.plateau.step(self.trainer.callback_metrics[f"val/{self.spec.metric}"].item())

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["rng"] = {"torch": torch.get_rng_state()}
        if torch.cuda.is_available():
            checkpoint["rng"]["cuda"] = torch.cuda.get_rng_state_all()
        if self.plateau is not None:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._restored = {key: checkpoint[key] for key in ("rng", "plateau") if key in checkpoint}

    def on_train_start(self) -> None:
        restored, self._restored = self._restored, {}
        if "rng" in restored:
            torch.set_rng_state(restored["rng"]["torch"].cpu())
            if "cuda" in restored["rng"]:
                torch.cuda.set_rng_state_all([state.cpu() for state in restored["rng"]["cuda"]])
        if "plateau" in restored and self.plateau is not None:
            self.plateau.load_state_dict(restored["plateau"])
