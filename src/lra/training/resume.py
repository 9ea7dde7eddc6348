"""What a resumed run needs to continue to the bit, beyond what Lightning saves: weights, optimizer, loops, loaders."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from lra.data.datasets import share
from lra.training.module import SequenceModule


class ResumeState(Callback):
    """Random numbers and the mean training loss of each process, the plateau schedule, and the parts of a batch.

    The learning curve and the best point are the state of `BestAndLast`, the place in an epoch that of `Loader`.
    """

    def __init__(self) -> None:
        self._restored: dict[str, Any] = {}

    def on_save_checkpoint(self, trainer: pl.Trainer, module: pl.LightningModule, saved: dict[str, Any]) -> None:
        assert isinstance(module, SequenceModule)
        saved["processes"] = _gathered(_own_state(module))
        if module.plateau is not None:
            saved["plateau"] = module.plateau.state_dict()

    def on_load_checkpoint(self, trainer: pl.Trainer, _: Any, saved: dict[str, Any]) -> None:
        self._restored = {key: saved[key] for key in ("processes", "plateau") if key in saved}
        _count_in_parts(saved["loops"]["fit_loop"], trainer.accumulate_grad_batches)

    def on_train_start(self, _: pl.Trainer, module: pl.LightningModule) -> None:
        assert isinstance(module, SequenceModule)
        restored, self._restored = self._restored, {}
        rank, world = share()
        states = restored.get("processes", [])
        if len(states) == world:
            _restore_own(module, states[rank])
        else:  # a new run, or one that resumes with another number of processes
            if world > 1:
                torch.manual_seed(torch.initial_seed() + rank)  # dropout masks of their own
            for state in states if rank == 0 else []:
                module.train_loss.add(*state["loss"])
        if "plateau" in restored and module.plateau is not None:
            module.plateau.load_state_dict(restored["plateau"])


def _own_state(module: SequenceModule) -> dict[str, Any]:
    """What differs between processes."""
    loss = module.train_loss
    state = {"torch": torch.get_rng_state(), "loss": [loss.total.cpu(), loss.count.cpu()]}
    if module.device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(module.device)
    return state


def _restore_own(module: SequenceModule, state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and module.device.type == "cuda":
        torch.cuda.set_rng_state(state["cuda"].cpu(), module.device)
    module.train_loss.add(*state["loss"])


def _gathered(own: Any) -> list[Any]:
    """The values of all processes, in order."""
    _, world = share()
    if world == 1:
        return [own]
    values = [None] * world
    torch.distributed.all_gather_object(values, own)
    return values


def _count_in_parts(loops: dict[str, Any], now: int) -> None:
    """Count in today's parts of a batch, should the checkpoint have cut batches otherwise."""
    then = loops["state_dict"]["combined_loader"][0]["parts"]
    for counts in (loops["epoch_loop.batch_progress"][key] for key in ("current", "total")):
        under_way = counts["processed"] - counts["completed"]
        for key in ("ready", "started", "processed"):
            counts[key] = counts[key] // then * now
        counts["completed"] = counts["processed"] - under_way
